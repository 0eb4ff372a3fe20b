//! Who may call: the bearer token of `<data>/token`.

use std::{fmt, path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, service::Interceptor};

use crate::{
    config::{once, trust},
    domain::Caller,
    error::{Error, Reason},
};

/// Whom the first token stands for.
pub const FIRST_PRINCIPAL: &str = "admin";

const TOKEN_BYTES: usize = 32;
const TOKEN_LENGTH_MIN: usize = 32;

/// A token, as its digest: it is compared in constant time, whatever its length, and never shown.
pub struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// Reads the token, or makes one of 256 random bits where there is none.
    ///
    /// # Errors
    /// Where the file can be read by others, is too short to be a token, or cannot be made.
    pub fn load_or_create(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            let mut bytes = [0; TOKEN_BYTES];
            getrandom::fill(&mut bytes).context("the system gives no random bits")?;
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            // Where another server makes one at this moment, that is the token.
            once::make(path, &format!("{text}\n"))
                .with_context(|| format!("could not make the token file {}", path.display()))?;
        }
        let text = trust::read_secret(path, "token file")?;
        let text = text.trim();
        if text.len() < TOKEN_LENGTH_MIN {
            bail!(
                "the token file {} holds fewer than {TOKEN_LENGTH_MIN} characters: remove it, and a new \
                 one is made at the next start",
                path.display()
            );
        }
        Ok(Self::of(text))
    }

    fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    fn matches(&self, given: &str) -> bool {
        Self::of(given).0.ct_eq(&self.0).into()
    }
}

/// Lets in who has the token, and says who it is.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    token: Arc<Token>,
    stop: CancellationToken,
}

impl Guard {
    pub(super) fn new(token: Arc<Token>, stop: CancellationToken) -> Self {
        Self { token, stop }
    }
}

impl Interceptor for Guard {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let given = header.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        });
        let Some(given) = given else {
            return Err(Error::Unauthenticated {
                reason: Reason::TokenRequired,
                message: "this call needs the header `authorization: Bearer TOKEN`; the token is in the file `token` \
                          of the server's data directory (bellctl: --token-file)"
                    .to_owned(),
            }
            .into());
        };
        if !self.token.matches(given) {
            return Err(Error::Unauthenticated {
                reason: Reason::WrongToken,
                message: "the token is wrong; the right one is in the file `token` of the server's data directory \
                          (bellctl: --token-file)"
                    .to_owned(),
            }
            .into());
        }
        if self.stop.is_cancelled() {
            return Err(
                Error::unavailable("the server", "it is draining, and takes no new calls").into(),
            );
        }
        tracing::Span::current().record("rpc.principal", FIRST_PRINCIPAL);
        request.extensions_mut().insert(Caller {
            principal: FIRST_PRINCIPAL.to_owned(),
        });
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        Token::load_or_create(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let again = Token::load_or_create(&path).unwrap();
        assert!(again.matches(text.trim()));
        assert!(!again.matches("another"));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Token::load_or_create(&path).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }
}
