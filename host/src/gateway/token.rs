//! The host's token: whoever has it may call every vat's root.
//!
//! Promises: 32 bytes of the operating system's chance, in hex, in a file only its owner can read,
//! made once; never shown by `Debug`; compared in time that does not depend on what differs. Does
//! not know HTTP.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use subtle::ConstantTimeEq;

use crate::people::Trouble;

/// The token's file in the store's folder.
pub const TOKEN_NAME: &str = "token";

/// Where it is written before it is whole.
const NEW_NAME: &str = "token.new";

const SECRET_BYTES: usize = 32;

/// Characters of a token somebody wrote by hand: few enough to send, enough not to be guessed.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 32..=256;

/// The secret.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Reads the token, or makes it. The caller holds the store's lock.
    pub fn provide(dir: &Path) -> Result<Token, Trouble> {
        let path = dir.join(TOKEN_NAME);
        let failed = |what: &str, error: &dyn fmt::Display| {
            let message = format!("the token {} cannot be {what}: {error}", path.display());
            Trouble::host(message, "it belongs to the host's owner, mode 0600")
        };
        match File::open(&path) {
            Ok(file) => read(file).map_err(|error| failed("used", &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(dir).map_err(|error| failed("made", &error))
            }
            Err(error) => Err(failed("read", &error)),
        }
    }

    /// Whether this is the token.
    pub fn is(&self, offered: &str) -> bool {
        // The length is no secret. Every byte is looked at, whichever differ.
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }

    /// The secret itself, for the link that is shown to the owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

fn read(file: File) -> io::Result<Token> {
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        let why = format!("others may read it (mode {:o}): chmod 600", mode & 0o777);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut text = String::new();
    file.take(*TOKEN_CHARS.end() as u64 + 2)
        .read_to_string(&mut text)?;
    let text = text.trim_end_matches(['\r', '\n']);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !TOKEN_CHARS.contains(&text.len()) || !text.chars().all(plain) {
        let why =
            format!("it is not {TOKEN_CHARS:?} of A-Z a-z 0-9 - _; remove it to get a new one");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(Token(text.to_owned()))
}

fn make(dir: &Path) -> io::Result<Token> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let new = dir.join(NEW_NAME);
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(token.as_bytes())?;
    // Otherwise a power cut could leave an empty file under the final name.
    file.sync_all()?;
    fs::rename(&new, dir.join(TOKEN_NAME))?;
    File::open(dir)?.sync_all()?;
    Ok(Token(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Token::provide(dir.path()).expect("makes it");
        let again = Token::provide(dir.path()).expect("reads it");
        assert_eq!(first.reveal(), again.reveal());
        assert_eq!(first.reveal().len(), 64);
        let mode = fs::metadata(dir.path().join(TOKEN_NAME))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let elsewhere = tempfile::tempdir().expect("a folder");
        let other = Token::provide(elsewhere.path()).expect("makes it");
        assert_ne!(first.reveal(), other.reveal());
    }

    #[test]
    fn only_the_token_is_the_token() {
        let dir = tempfile::tempdir().expect("a folder");
        let token = Token::provide(dir.path()).expect("makes it");
        let right = token.reveal().to_owned();
        assert!(token.is(&right));
        let longer = format!("{right}0");
        let mut flipped = right.clone();
        flipped.replace_range(63..64, if right.ends_with('0') { "1" } else { "0" });
        for wrong in ["", &right[..63], &longer, &flipped] {
            assert!(!token.is(wrong), "{wrong}");
        }
        assert!(!format!("{token:?}").contains(&right));
    }

    #[test]
    fn a_token_others_can_read_or_that_is_none_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        Token::provide(dir.path()).expect("makes it");
        let path = dir.path().join(TOKEN_NAME);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changes it");
        assert!(
            Token::provide(dir.path())
                .expect_err("refused")
                .message
                .contains("chmod 600")
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changes it");
        for bad in [
            "",
            "short",
            &"x".repeat(5000),
            &format!("{}é", "x".repeat(40)),
        ] {
            fs::write(&path, bad).expect("writes");
            assert!(Token::provide(dir.path()).is_err(), "{bad}");
        }
    }
}
