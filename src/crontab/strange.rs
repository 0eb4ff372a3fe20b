//! Files that are handed to an import and are no crontabs.

/// What the file is instead, such as "a systemd timer"; `None` where it may be a crontab.
pub(super) fn kind(text: &str) -> Option<&'static str> {
    let nothing = text.bytes().filter(|byte| *byte == 0).count();
    if text.len() <= nothing.saturating_mul(4) && nothing != 0 {
        return Some("UTF-16, or no text (expected UTF-8)");
    }
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let first = lines.next()?;
    if first.starts_with('[') && first.ends_with(']') {
        let section = |name: &str| first == name || lines.clone().any(|line| line == name);
        return Some(if section("[Timer]") {
            "a systemd timer"
        } else if section("[Unit]") || section("[Service]") || section("[Install]") {
            "a systemd unit"
        } else {
            "a file of sections such as a configuration"
        });
    }
    if first.starts_with("<?xml") || first.starts_with("<!DOCTYPE") || first.starts_with("<plist") {
        return Some("XML, as launchd has it");
    }
    let is_manifest = first == "---" || first.starts_with("apiVersion:");
    if is_manifest && lines.any(|line| line.starts_with("kind:")) {
        return Some("a manifest of Kubernetes");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_crontab_is_known_by_its_first_line() {
        for (text, expected) in [
            (
                "# nightly\n[Unit]\nDescription=x\n[Timer]\n",
                Some("a systemd timer"),
            ),
            ("[Timer]\nOnCalendar=daily\n", Some("a systemd timer")),
            ("[Unit]\n[Service]\nExecStart=/a\n", Some("a systemd unit")),
            (
                "[client]\nuser=x\n",
                Some("a file of sections such as a configuration"),
            ),
            (
                "<?xml version=\"1.0\"?>\n<plist>",
                Some("XML, as launchd has it"),
            ),
            (
                "---\napiVersion: batch/v1\nkind: CronJob\n",
                Some("a manifest of Kubernetes"),
            ),
            ("[ -x /a ] && /a\n", None),
            ("* * * * * [ -x /a ]\n[Timer]\n", None),
            ("0\0 \0\x30\0", Some("UTF-16, or no text (expected UTF-8)")),
            ("* * * * * /a \0 /b\n", None),
            ("---\n", None),
            ("", None),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
