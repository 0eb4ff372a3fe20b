//! What is to come.

use watchbell_client::pb;

use super::{Server, at};

impl Server {
    /// Fires of a task that are to come within a day: nominal and due time.
    pub(crate) async fn agenda_of(&self, name: &str) -> Vec<(String, String)> {
        let request = pb::GetAgendaRequest {
            page_size: 1000,
            ..pb::GetAgendaRequest::default()
        };
        let answer = self.client.scheduler().get_agenda(request).await;
        let entries = answer.unwrap().into_inner().entries.into_iter();
        entries
            .filter(|entry| entry.task == format!("tasks/{name}"))
            .filter_map(|entry| entry.fire)
            .map(|fire| (at(&fire.nominal_time), at(&fire.due_time)))
            .collect()
    }
}
