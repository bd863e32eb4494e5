//! `DIR/control.sock` as a file: how it is created, replaced and connected to.
//!
//! Promises: only the owner can connect, also at the moment of its creation; a socket that a killed
//! host left behind is replaced in one step; a folder whose path is too long for a socket address
//! is reached through a descriptor of the folder. Only the holder of the store's lock may bind.
//! Does not know the protocol.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// The socket's name in the store's folder.
pub const SOCKET_NAME: &str = "control.sock";

/// The name the socket has until it listens; a host killed in between leaves it behind.
const NEW_NAME: &str = "control.sock.new";

/// Bytes of a path that fit into a Unix socket's address, its final zero not counted.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Connections that the kernel queues until they are accepted.
const BACKLOG: u32 = 128;

/// A listening control socket.
#[derive(Debug)]
pub struct ControlSocket {
    pub listener: UnixListener,
    pub file: SocketFile,
}

/// The socket's file, removed when this value is dropped. That must happen before the store's lock
/// is released, or the next host's socket might be removed.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl ControlSocket {
    /// Creates the socket and replaces one that a killed host left. The caller holds the store's
    /// lock.
    pub fn bind(dir: &Path) -> io::Result<ControlSocket> {
        let reach = Reach::new(dir, NEW_NAME)?;
        let new = dir.join(NEW_NAME);
        remove_if_there(&new)?;
        let socket = UnixSocket::new_stream()?;
        // The file gets the mode of the unbound socket, so there is no moment between bind and
        // chmod in which others could connect.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        socket.bind(&reach.path)?;
        let listener = socket.listen(BACKLOG)?;
        let path = dir.join(SOCKET_NAME);
        std::fs::rename(&new, &path)?;
        Ok(ControlSocket {
            listener,
            file: SocketFile(path),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If removal fails, the next host replaces the file; until then connections are refused.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Connects to the host that serves `dir`; `None` if no host listens.
pub async fn connect(dir: &Path) -> io::Result<Option<UnixStream>> {
    let reach = match Reach::new(dir, SOCKET_NAME) {
        Ok(reach) => reach,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match UnixStream::connect(&reach.path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if nobody_listens(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A reset means that the listener was closed while we connected: its host was just killed.
fn nobody_listens(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A path to a file in a folder, short enough for a socket's address.
struct Reach {
    path: PathBuf,
    /// Kept open while `path` leads through its descriptor.
    _folder: Option<File>,
}

impl Reach {
    fn new(dir: &Path, name: &str) -> io::Result<Reach> {
        let path = dir.join(name);
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Reach {
                path,
                _folder: None,
            });
        }
        let folder = File::open(dir)?;
        let short = format!("/proc/self/fd/{}", folder.as_raw_fd());
        if !Path::new(&short).exists() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, too_long(&path)));
        }
        Ok(Reach {
            path: Path::new(&short).join(name),
            _folder: Some(folder),
        })
    }
}

fn too_long(path: &Path) -> String {
    format!(
        "the path {} has {} bytes, a socket's may have {SOCKET_PATH_BYTES_MAX}, and there is no \
         /proc to shorten it: use a --data folder with a shorter path",
        path.display(),
        path.as_os_str().len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime.expect("a runtime").block_on(work)
    }

    async fn binds_privately_and_is_reached(dir: &Path) {
        let socket = ControlSocket::bind(dir).expect("binds");
        let mode = std::fs::metadata(dir.join(SOCKET_NAME))
            .expect("is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let (accepted, connected) = tokio::join!(socket.listener.accept(), connect(dir));
        accepted.expect("a connection");
        assert!(connected.expect("no error").is_some());
        drop(socket);
        assert!(!dir.join(SOCKET_NAME).exists());
        assert!(connect(dir).await.expect("no error").is_none());
    }

    #[test]
    fn the_socket_is_private_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().expect("a folder");
        run(binds_privately_and_is_reached(dir.path()));
    }

    #[test]
    fn a_folder_too_deep_for_a_socket_address_is_reached_all_the_same() {
        let dir = tempfile::tempdir().expect("a folder");
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).expect("makes it");
        run(binds_privately_and_is_reached(&deep));
    }

    #[test]
    fn what_a_killed_host_left_is_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        run(async {
            let dead = UnixListener::bind(dir.path().join(SOCKET_NAME)).expect("binds");
            drop(dead);
            assert!(dir.path().join(SOCKET_NAME).exists());
            std::fs::write(dir.path().join(NEW_NAME), "").expect("writes");
            assert!(connect(dir.path()).await.expect("no error").is_none());
            binds_privately_and_is_reached(dir.path()).await;
        });
    }

    #[test]
    fn a_listener_that_closes_while_we_connect_is_nobody() {
        assert!(nobody_listens(&io::ErrorKind::ConnectionReset.into()));
        assert!(!nobody_listens(&io::ErrorKind::PermissionDenied.into()));
    }

    #[test]
    fn no_folder_means_no_host() {
        let dir = tempfile::tempdir().expect("a folder");
        let missing = dir.path().join("x".repeat(120));
        assert!(run(connect(&missing)).expect("no error").is_none());
    }
}
