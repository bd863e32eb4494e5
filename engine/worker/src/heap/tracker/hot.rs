//! Pages that are written at nearly every look: protecting one so that its next write is noticed
//! costs a fault, and comparing it costs a tenth of that. So they are left as they are and count as
//! written each time.
//!
//! A page is hot when the last looks all found it written. A hot page is protected once in a while,
//! to see whether it still is: a page found written again is left alone for twice as long, one that
//! was not is hot no more.
//!
//! Promises: of the pages found without protection, all are to be protected but those that are
//! named as written at every look until they are. So nothing is missed, whatever is hot; at most
//! `HOT_MAX` pages are compared for nothing. Does not know how pages are found or protected.

use std::ops::Range;

/// So many looks in a row must have found a page written.
const STREAK: u8 = 3;

/// Looks until a page that has just become hot is protected for a trial, and the most it comes to.
const TRIAL_MIN: u16 = 8;
const TRIAL_MAX: u16 = 512;

/// Pages that may be hot at a time. A turn of a small contract writes about ten.
const HOT_MAX: usize = 64;

/// Pages found at one look beyond which nothing is remembered of it: such a look costs what it
/// costs.
const FOUND_MAX: usize = 256;

#[derive(Debug, Default)]
pub struct Hot {
    /// Ascending.
    pages: Vec<HotPage>,
    /// Pages that the last looks all found written and that are not hot: how many of them did.
    /// Ascending.
    streaks: Vec<(u32, u8)>,
}

#[derive(Clone, Copy, Debug)]
struct HotPage {
    page: u32,
    /// Looks from one trial to the next.
    interval: u16,
    /// Looks until the next one; 0 while it is protected.
    left: u16,
}

/// What is to be protected after a look.
#[derive(Debug, PartialEq, Eq)]
pub enum Protect {
    /// Every page that was found.
    All,
    /// These of them, ascending.
    Some(Vec<u32>),
}

impl Hot {
    /// Takes in a look at `pages` that found `found` without protection, in ascending order.
    pub fn looked(&mut self, pages: Range<u32>, found: &[u32]) -> Protect {
        let is_outside = |page: &u32| !pages.contains(page);
        if found.len() > FOUND_MAX {
            self.pages.retain(|hot| is_outside(&hot.page));
            self.streaks.retain(|(page, _)| is_outside(page));
            return Protect::All;
        }
        let (hot_before, streaks_before) = (self.pages.clone(), self.streaks.clone());
        self.pages.retain(|hot| is_outside(&hot.page));
        self.streaks.retain(|(page, _)| is_outside(page));
        let mut protect = Vec::new();
        for &page in found {
            if let Ok(at) = hot_before.binary_search_by_key(&page, |hot| hot.page) {
                let next = hot_before[at].found();
                if next.left == 0 {
                    protect.push(page);
                }
                self.pages.push(next);
                continue;
            }
            let at = streaks_before.binary_search_by_key(&page, |(page, _)| *page);
            let streak = at.map_or(1, |at| streaks_before[at].1 + 1);
            if streak >= STREAK && self.pages.len() < HOT_MAX {
                self.pages.push(HotPage {
                    page,
                    interval: TRIAL_MIN,
                    left: TRIAL_MIN,
                });
                continue;
            }
            self.streaks.push((page, streak.min(STREAK)));
            protect.push(page);
        }
        self.pages.sort_unstable_by_key(|hot| hot.page);
        self.streaks.sort_unstable();
        Protect::Some(protect)
    }
}

impl HotPage {
    /// It was found without protection once more.
    fn found(self) -> HotPage {
        match self.left {
            // It was protected, so it was written since.
            0 => {
                let interval = (self.interval * 2).min(TRIAL_MAX);
                HotPage {
                    interval,
                    left: interval,
                    ..self
                }
            }
            left => HotPage {
                left: left - 1,
                ..self
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(hot: &mut Hot, found: &[u32]) -> Vec<u32> {
        match hot.looked(0..1_000, found) {
            Protect::Some(pages) => pages,
            Protect::All => found.to_vec(),
        }
    }

    #[test]
    fn a_page_written_all_the_time_is_protected_less_and_less_often() {
        let mut hot = Hot::default();
        let protected = (0..10_000)
            .filter(|_| looked(&mut hot, &[7]) == [7])
            .count();
        // Twice before it is hot, then after 8, 16, …, 512 looks, and every 512 from there.
        assert!((20..30).contains(&protected), "{protected}");
    }

    #[test]
    fn a_page_written_no_more_is_hot_no_more_after_its_trial() {
        let mut hot = Hot::default();
        for _ in 0..STREAK {
            looked(&mut hot, &[7]);
        }
        // Without protection it is found whether it is written or not, until it is protected.
        let looks = (0..100).find(|_| looked(&mut hot, &[7]) == [7]);
        assert_eq!(looks, Some(u32::from(TRIAL_MIN) - 1));
        assert_eq!(looked(&mut hot, &[]), [] as [u32; 0]);
        assert_eq!(looked(&mut hot, &[7]), [7], "it begins anew");
    }

    #[test]
    fn what_is_written_now_and_then_is_protected_each_time() {
        let mut hot = Hot::default();
        for look in 0..1_000 {
            let page = look % 100;
            assert_eq!(looked(&mut hot, &[page]), [page]);
        }
    }

    #[test]
    fn ranges_are_kept_apart_and_few_pages_are_hot() {
        let mut hot = Hot::default();
        let many: Vec<u32> = (0..200).collect();
        for _ in 0..STREAK {
            hot.looked(0..200, &many);
            hot.looked(500..600, &[555]);
        }
        assert_eq!(hot.pages.len(), HOT_MAX);
        let first = many.len() - HOT_MAX;
        match hot.looked(0..200, &many) {
            Protect::Some(pages) => assert_eq!(pages.len(), first),
            Protect::All => panic!("not that many"),
        }
        let very_many: Vec<u32> = (0..=FOUND_MAX as u32).collect();
        assert_eq!(hot.looked(0..400, &very_many), Protect::All);
        assert!(hot.pages.is_empty());
        assert_eq!(hot.streaks, [(555, STREAK)], "another range's");
    }
}
