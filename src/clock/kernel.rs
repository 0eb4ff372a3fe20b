//! What the kernel says of its own clock, by `adjtimex`, as whoever sets that clock tells it: ntpd; chrony with `rtcsync`,
//! which packages of it have set; systemd-timesyncd where the hardware clock is in UTC.
//!
//! No library of the tree has this call without `unsafe`, so that it stands here, and nowhere else.

use nix::libc;

/// Whether something keeps the kernel's clock right; none where that may not be asked, as in some sandboxes.
#[expect(unsafe_code, reason = "the one call of which no safe form is at hand")]
pub(super) fn is_synchronised() -> Option<bool> {
    // SAFETY: the structure holds integers alone, of which zero is one; and no `modes` is to change nothing, so the
    // kernel only fills in what it is given, for as long as the call lasts.
    let (state, status) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        let state = libc::adjtimex(&raw mut timex);
        (state, timex.status)
    };
    match state {
        ..0 => None,
        _ => Some(state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0),
    }
}
