//! Policies, by id.

use super::Body;
use crate::{
    domain::backup::{PolicyId, policy::Policy},
    error::{Error, Result, Thing},
    store::{Page, PageOf, Store, Tx, convert},
};

/// Policies there may be.
const POLICIES_MAX: u64 = 1000;

impl Store {
    /// Every policy, by id; at most 1,000.
    pub async fn policies(&self) -> Result<Vec<Policy>> {
        let page = Page {
            size: POLICIES_MAX,
            after: None,
        };
        Ok(self.policies_page(page).await?.items)
    }

    pub async fn policies_page(&self, page: Page<String>) -> Result<PageOf<Policy, String>> {
        let select = self
            .sql("SELECT body FROM backup_policies WHERE id > ")
            .bind(page.after.unwrap_or_default())
            .push(" ORDER BY id LIMIT ")
            .bind(i64::try_from(page.size + 1).unwrap_or(i64::MAX))
            .done();
        let rows: Vec<Body> = self.all(select).await?;
        let policies = rows.iter().map(|row| convert::read(&row.body));
        let policies: Vec<Policy> = policies.collect::<Result<_>>()?;
        Ok(PageOf::cut(policies, page.size, |policy| {
            policy.id.to_string()
        }))
    }

    /// # Errors
    /// [`Error::NotFound`], with the ids there are.
    pub async fn policy(&self, id: &PolicyId) -> Result<Policy> {
        let select = self
            .sql("SELECT body FROM backup_policies WHERE id = ")
            .bind(id.as_str())
            .done();
        match self.one::<Body>(select).await? {
            Some(row) => convert::read(&row.body),
            None => {
                let near = self.policies().await?.into_iter().take(20);
                Err(Error::NotFound {
                    what: Thing::BackupPolicy,
                    id: id.to_string(),
                    near: near.map(|policy| policy.id.to_string()).collect(),
                })
            }
        }
    }
}

impl Tx {
    /// A policy, locked.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn policy_locked(&mut self, id: &PolicyId) -> Result<Policy> {
        let select = self
            .sql("SELECT body FROM backup_policies WHERE id = ")
            .bind(id.as_str())
            .postgres(" FOR UPDATE")
            .done();
        let row: Option<Body> = self.one(select).await?;
        let row = row.ok_or_else(|| Error::not_found(Thing::BackupPolicy, id))?;
        convert::read(&row.body)
    }

    /// Adds a policy; says whether there was none of its id.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where there are 1,000.
    pub async fn policy_insert(&mut self, policy: &Policy) -> Result<bool> {
        let insert = self
            .sql("INSERT INTO backup_policies (id, body) VALUES (")
            .bind(policy.id.as_str())
            .push(", ")
            .bind(convert::json(policy)?)
            .push(") ON CONFLICT (id) DO NOTHING")
            .done();
        if self.run(insert).await? == 0 {
            return Ok(false);
        }
        let count = self.sql("SELECT id AS body FROM backup_policies").done();
        let ids: Vec<Body> = self.all(count).await?;
        if POLICIES_MAX < ids.len() as u64 {
            return Err(Error::Exhausted(format!(
                "there are {POLICIES_MAX} backup policies, which is the most there may be: delete one first"
            )));
        }
        Ok(true)
    }

    pub async fn policy_update(&mut self, policy: &Policy) -> Result<()> {
        let update = self
            .sql("UPDATE backup_policies SET body = ")
            .bind(convert::json(policy)?)
            .push(" WHERE id = ")
            .bind(policy.id.as_str())
            .done();
        self.run(update).await?;
        Ok(())
    }

    pub async fn policy_delete(&mut self, id: &PolicyId) -> Result<()> {
        let delete = self
            .sql("DELETE FROM backup_policies WHERE id = ")
            .bind(id.as_str())
            .done();
        self.run(delete).await?;
        Ok(())
    }
}
