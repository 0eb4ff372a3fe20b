//! A database that refuses rows, as it does for good.

use sea_orm::ConnectionTrait as _;

use super::Site;

impl Site {
    /// From now on refuses to do this (INSERT, UPDATE or DELETE) to rows of a table of which this holds: in it `ROW` is
    /// the row.
    pub(crate) async fn refuse(&self, verb: &str, table: &str, rows: &str) {
        let database = self.database.connect(self.data()).await;
        let row = if verb == "DELETE" { "OLD" } else { "NEW" };
        let when = rows.replace("ROW", row);
        let statements = if self.database.is_postgresql() {
            vec![
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 $$BEGIN RAISE EXCEPTION 'not this one'; END$$"
                    .to_owned(),
                format!(
                    "CREATE TRIGGER refuse BEFORE {verb} ON {table} FOR EACH ROW WHEN ({when}) \
                     EXECUTE FUNCTION refuse()"
                ),
            ]
        } else {
            vec![format!(
                "CREATE TRIGGER refuse BEFORE {verb} ON {table} WHEN {when} \
                 BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            )]
        };
        for statement in statements {
            database.execute_unprepared(&statement).await.unwrap();
        }
    }
}
