//! What a disk holds after the power failed.

use super::{Change, Disk, Faults, Inode, Sparse};

/// What became of the changes no sync had covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// None reached the disk.
    Lost,
    /// All did.
    Kept,
    /// Of each sector either the old or the newest content, by seed.
    Torn { seed: u64 },
    /// Each change whole or not at all, later ones perhaps without earlier ones, by seed.
    Reordered { seed: u64 },
}

const SECTOR_BYTES: usize = 512;

/// The disk after the crash, unlocked and without faults.
pub(super) fn crash(disk: &Disk, crash: Crash) -> Disk {
    let mut dice = Dice(match crash {
        Crash::Torn { seed } | Crash::Reordered { seed } => seed ^ 0x5851_f42d_4c95_7f2d,
        Crash::Lost | Crash::Kept => 0,
    });
    let mut after = Disk {
        faults: Faults::default(),
        ..Disk::default()
    };
    for inode in &disk.inodes {
        let content = survive(inode, crash, &mut dice);
        after.inodes.push(Inode {
            live: content.clone(),
            durable: content,
            pending: Vec::new(),
        });
    }
    let mut paths: Vec<&String> = disk.live.keys().chain(disk.durable.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let (old, new) = (disk.durable.get(path), disk.live.get(path));
        let entry = match crash {
            Crash::Lost => old,
            Crash::Kept => new,
            Crash::Torn { .. } | Crash::Reordered { .. } if old == new || dice.heads() => old,
            Crash::Torn { .. } | Crash::Reordered { .. } => new,
        };
        if let Some(&inode) = entry {
            after.live.insert(path.clone(), inode);
            after.durable.insert(path.clone(), inode);
        }
    }
    after
}

fn survive(inode: &Inode, crash: Crash, dice: &mut Dice) -> Sparse {
    let mut content = inode.durable.clone();
    match crash {
        Crash::Lost => {}
        Crash::Kept => inode
            .pending
            .iter()
            .for_each(|change| change.apply(&mut content)),
        Crash::Torn { .. } => {
            for change in &inode.pending {
                tear(change, &mut content, dice);
            }
        }
        Crash::Reordered { .. } => {
            let kept = inode.pending.iter().filter(|_| dice.heads());
            kept.for_each(|change| change.apply(&mut content));
        }
    }
    content
}

/// Applies a change sector by sector, each or not.
fn tear(change: &Change, content: &mut Sparse, dice: &mut Dice) {
    let zeros;
    let (mut at, mut rest) = match change {
        Change::Write { offset, bytes } => (*offset, &bytes[..]),
        // A hole is made block by block; sector by sector is harsher still.
        Change::Punch { offset, len } => {
            let inside = content.len().saturating_sub(*offset).min(*len);
            zeros = vec![0; inside as usize];
            (*offset, &zeros[..])
        }
        Change::SetLen(_) => {
            if dice.heads() {
                change.apply(content);
            }
            return;
        }
    };
    while !rest.is_empty() {
        let space = SECTOR_BYTES - (at % SECTOR_BYTES as u64) as usize;
        let (now, later) = rest.split_at(space.min(rest.len()));
        if dice.heads() {
            content.write(at, now);
        }
        at += now.len() as u64;
        rest = later;
    }
}

/// Chance that is the same for the same seed everywhere (splitmix64).
struct Dice(u64);

impl Dice {
    fn heads(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Backend, Faults, File, MemoryBackend};
    use super::*;

    fn written() -> MemoryBackend {
        let disk = MemoryBackend::new();
        let file = disk.create("a").unwrap();
        file.write_at(0, &[1; 2048]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        file.write_at(0, &[2; 2048]).unwrap();
        disk.create("b").unwrap();
        disk
    }

    #[test]
    fn what_was_not_synced_is_lost_kept_torn_at_sectors_or_reordered() {
        let disk = written();
        let after = |how| {
            (
                disk.crash(how).contents("a").unwrap(),
                disk.crash(how).contents("b"),
            )
        };
        assert_eq!(after(Crash::Lost), (vec![1; 2048], None));
        assert_eq!(after(Crash::Kept), (vec![2; 2048], Some(vec![])));
        let torn: Vec<_> = (0..64).map(|seed| after(Crash::Torn { seed }).0).collect();
        for content in &torn {
            assert!(
                content
                    .chunks(512)
                    .all(|sector| sector == [1; 512] || sector == [2; 512])
            );
        }
        let mixed = torn
            .iter()
            .filter(|content| content[0] != content[2047])
            .count();
        assert!(
            (16..48).contains(&mixed),
            "{mixed} of 64 seeds differ at both ends"
        );
        for seed in 0..8 {
            let (content, _) = after(Crash::Reordered { seed });
            assert!(content == [1; 2048] || content == [2; 2048]);
            assert_eq!(
                after(Crash::Reordered { seed }).0,
                content,
                "a seed says everything"
            );
        }
    }

    #[test]
    fn a_failed_sync_loses_durable_bytes_and_the_next_one_succeeds_over_nothing() {
        let disk = written();
        disk.set_faults(Faults {
            fail_at: Some(disk.operations() + 1),
            ..Faults::default()
        });
        let file = disk.open("a").unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(disk.contents("a").unwrap(), [2; 2048]);
        assert_eq!(disk.crash(Crash::Kept).contents("a").unwrap(), [1; 2048]);
    }

    #[test]
    fn a_frozen_disk_does_nothing_any_more() {
        let disk = written();
        disk.set_faults(Faults {
            freeze_at: Some(disk.operations() + 1),
            ..Faults::default()
        });
        let file = disk.open("a").unwrap();
        assert!(file.sync_data().is_err());
        assert!(file.read_at(0, &mut [0]).is_err() && disk.open("a").is_err());
        assert_eq!(disk.crash(Crash::Lost).contents("a").unwrap(), [1; 2048]);
    }
}
