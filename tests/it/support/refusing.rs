//! A database that refuses rows, as it does for good, or changes more than it is told to, as another server does.

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

    /// Takes back what was refused of a table.
    pub(crate) async fn allow(&self, table: &str) {
        let database = self.database.connect(self.data()).await;
        let statements = if self.database.is_postgresql() {
            vec![
                format!("DROP TRIGGER refuse ON {table}"),
                "DROP FUNCTION refuse()".to_owned(),
            ]
        } else {
            vec!["DROP TRIGGER refuse".to_owned()]
        };
        for statement in statements {
            database.execute_unprepared(&statement).await.unwrap();
        }
    }

    /// From now on does this after each row that is deleted of a table and of which that holds: in both `OLD` is the row.
    pub(crate) async fn after_delete(&self, table: &str, rows: &str, action: &str) {
        let database = self.database.connect(self.data()).await;
        let statements = if self.database.is_postgresql() {
            vec![
                format!(
                    "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS \
                     $$BEGIN {action}; RETURN NULL; END$$"
                ),
                format!(
                    "CREATE TRIGGER follow AFTER DELETE ON {table} FOR EACH ROW WHEN ({rows}) \
                     EXECUTE FUNCTION follow()"
                ),
            ]
        } else {
            vec![format!(
                "CREATE TRIGGER follow AFTER DELETE ON {table} WHEN {rows} BEGIN {action}; END"
            )]
        };
        for statement in statements {
            database.execute_unprepared(&statement).await.unwrap();
        }
    }
}
