//! Who is at the other end of a connection.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

/// Who is at the other end. Who somebody is by a certificate, or as a user of this host, will stand beside the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: SocketAddr,
}

impl Peer {
    /// What counts as one address: of IPv6 a network, since a host has as many addresses there as it likes.
    pub(super) fn origin(self) -> IpAddr {
        match self.address.ip().to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                let network = v6.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            ip => ip,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> String {
        let address = address.parse().unwrap();
        Peer { address }.origin().to_string()
    }

    #[test]
    fn neighbours_in_a_network_of_ipv6_count_as_one() {
        assert_eq!(origin("192.0.2.7:1"), "192.0.2.7");
        assert_eq!(origin("[::ffff:192.0.2.7]:1"), "192.0.2.7");
        assert_eq!(origin("[::1]:1"), "::1");
        assert_eq!(origin("[2001:db8:1:2:3:4:5:6]:1"), "2001:db8:1:2::");
    }
}
