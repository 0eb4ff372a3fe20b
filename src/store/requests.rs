//! Answers kept so that a repeated request gets the same one.

use jiff::Timestamp;

use super::{Store, Tx, convert::micros, entity::request};
use crate::{
    domain::Caller,
    error::{Error, Reason, Result},
};

/// An answer that was given before.
#[derive(Clone, Debug)]
pub struct StoredReply {
    /// Of the request's body.
    pub fingerprint: String,
    pub response: Vec<u8>,
}

/// An answer to be kept under the caller's request id, in the transaction that makes it true.
pub struct Remember<'a, T> {
    pub method: &'static str,
    pub request_id: &'a str,
    /// Of the request's body.
    pub fingerprint: String,
    pub encode: &'a (dyn Fn(&T) -> Vec<u8> + Send + Sync),
}

impl<T> std::fmt::Debug for Remember<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remember")
            .field("method", &self.method)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl Store {
    pub async fn request(
        &self,
        principal: &str,
        method: &str,
        request_id: &str,
    ) -> Result<Option<StoredReply>> {
        let select = self
            .sql("SELECT * FROM requests WHERE principal = ")
            .bind(principal)
            .push(" AND method = ")
            .bind(method)
            .push(" AND request_id = ")
            .bind(request_id)
            .done();
        let row: Option<request::Model> = self.one(select).await?;
        Ok(row.map(|row| StoredReply {
            fingerprint: row.fingerprint,
            response: row.response,
        }))
    }
}

impl Tx {
    /// Keeps the answer where the caller gave a request id.
    ///
    /// # Errors
    /// As [`Tx::request_keep`].
    pub async fn keep<T>(
        &mut self,
        who: &Caller,
        remember: Option<Remember<'_, T>>,
        answer: &T,
    ) -> Result<()> {
        let Some(remember) = remember else {
            return Ok(());
        };
        let reply = StoredReply {
            fingerprint: remember.fingerprint,
            response: (remember.encode)(answer),
        };
        let key = (who.principal.as_str(), remember.method, remember.request_id);
        self.request_keep(key, &reply).await
    }

    /// Keeps an answer in the transaction that makes it true.
    ///
    /// # Errors
    /// [`Error::Aborted`] where the same request is being answered at this moment.
    pub async fn request_keep(
        &mut self,
        (principal, method, request_id): (&str, &str, &str),
        reply: &StoredReply,
    ) -> Result<()> {
        if self
            .request_keep_new((principal, method, request_id), reply)
            .await?
        {
            return Ok(());
        }
        self.failed = true;
        Err(Error::Aborted {
            reason: Reason::RequestInProgress,
            message: format!("request {request_id:?} is being answered: send it again"),
        })
    }

    /// Keeps an answer where none is kept; says whether that is so.
    pub async fn request_keep_new(
        &mut self,
        (principal, method, request_id): (&str, &str, &str),
        reply: &StoredReply,
    ) -> Result<bool> {
        let insert = self
            .sql("INSERT INTO requests (principal, method, request_id, fingerprint, response, created_at) VALUES (")
            .bind(principal)
            .push(", ")
            .bind(method)
            .push(", ")
            .bind(request_id)
            .push(", ")
            .bind(reply.fingerprint.clone())
            .push(", ")
            .bind(reply.response.clone())
            .push(", ")
            .bind(micros(self.now))
            .push(") ON CONFLICT DO NOTHING")
            .done();
        Ok(self.run(insert).await? == 1)
    }

    /// Forgets answers given before `before`, the oldest thousand of them; says how many.
    pub async fn requests_prune(&mut self, before: Timestamp) -> Result<u64> {
        let delete = self
            .sql(
                "DELETE FROM requests WHERE (principal, method, request_id) IN \
                 (SELECT principal, method, request_id FROM requests WHERE created_at < ",
            )
            .bind(micros(before))
            .push(" ORDER BY created_at LIMIT 1000)")
            .done();
        self.run(delete).await
    }
}
