//! Requests that may be repeated: the same id gets the same answer.

use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response};

use super::{Api, Reply, caller};
use crate::{
    domain::Caller,
    error::{Error, Result},
    store::Remember,
};

const ID_MAX: usize = 128;

/// A request with its caller and its id, if it has one.
pub(super) struct Asked<T> {
    pub(super) who: Caller,
    pub(super) body: T,
    method: &'static str,
    id: String,
    fingerprint: String,
}

impl<T: Message> Asked<T> {
    /// # Errors
    /// [`Error::Invalid`] for `request_id`.
    pub(super) fn new(
        method: &'static str,
        request: Request<T>,
        id: impl Fn(&T) -> &str,
    ) -> Result<Self> {
        let who = caller(&request)?;
        let body = request.into_inner();
        let id = id(&body).to_owned();
        if ID_MAX < id.chars().count() || id.contains('\0') {
            let what = format!("expected at most {ID_MAX} characters, none of them NUL");
            return Err(Error::invalid("request_id", what));
        }
        let digest = Sha256::digest(body.encode_to_vec());
        let fingerprint = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            who,
            body,
            method,
            id,
            fingerprint,
        })
    }

    /// The answer that was given to this request before.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the id was used for another request.
    pub(super) async fn answered<R: Message + Default>(&self, api: &Api) -> Result<Option<R>> {
        if self.id.is_empty() {
            return Ok(None);
        }
        let found = api
            .engine
            .store()
            .request(&self.who.principal, self.method, &self.id)
            .await?;
        let Some(found) = found else {
            return Ok(None);
        };
        if found.fingerprint != self.fingerprint {
            let what = format!(
                "{:?} was used for another request; choose a new one",
                self.id
            );
            return Err(Error::invalid("request_id", what));
        }
        R::decode(found.response.as_slice())
            .map(Some)
            .map_err(Error::internal)
    }

    /// Answers with what was done. Of two calls with one id at one time, one does it: the other fails
    /// on what that has changed, and is told the same as the first.
    pub(super) async fn reply<A, R: Message + Default>(
        &self,
        api: &Api,
        done: Result<A>,
        answer: impl Fn(&A) -> R,
    ) -> Reply<R> {
        match done {
            Ok(done) => Ok(Response::new(answer(&done))),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(error) => match self.answered(api).await {
                Ok(Some(answer)) => Ok(Response::new(answer)),
                Err(other) if other.wrong_fields().is_some() => Err(other.into()),
                // What hinders the look is not what hindered the call.
                _ => Err(error.into()),
            },
        }
    }

    /// How the answer is to be kept.
    pub(super) fn remember<'a, A>(
        &'a self,
        encode: &'a (dyn Fn(&A) -> Vec<u8> + Send + Sync),
    ) -> Option<Remember<'a, A>> {
        (!self.id.is_empty()).then(|| Remember {
            method: self.method,
            request_id: &self.id,
            fingerprint: self.fingerprint.clone(),
            encode,
        })
    }
}

/// The values of a repeated enum, each once.
pub(super) fn each_once<T: PartialEq>(
    field: &str,
    given: &[i32],
    read: impl Fn(i32) -> Option<T>,
) -> Result<Vec<T>> {
    let mut values = Vec::with_capacity(given.len());
    for value in given {
        let wrong = || Error::invalid(field, format!("expected {field} other than UNSPECIFIED"));
        let value = read(*value).ok_or_else(wrong)?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}
