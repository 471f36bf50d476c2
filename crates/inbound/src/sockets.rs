//! Listening sockets: made here, or inherited from systemd.
//!
//! An inherited socket belongs to the listener of its name, else to the one of its address, else, when exactly as many
//! sockets as listeners are left, to the next in order. A listener that inherits nothing is bound.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{ListenerSettings, platform};

/// Connections that the kernel completes before we take them.
const BACKLOG: i32 = 1024;

/// A socket for each listener, in their order.
pub(crate) fn open(
    listeners: &[ListenerSettings],
    inherited: Vec<(String, TcpListener)>,
) -> Result<Vec<TcpListener>, (usize, io::Error)> {
    let mut found = assign(listeners, inherited);
    let mut sockets = Vec::with_capacity(listeners.len());
    for (at, listener) in listeners.iter().enumerate() {
        let socket = match found.get_mut(at).and_then(Option::take) {
            Some(socket) => prepare(socket),
            None => bind(listener.address, shares_port_with_ipv4(listener.address, listeners)),
        };
        sockets.push(socket.map_err(|error| (at, error))?);
    }
    Ok(sockets)
}

fn assign(listeners: &[ListenerSettings], inherited: Vec<(String, TcpListener)>) -> Vec<Option<TcpListener>> {
    let mut found: Vec<Option<TcpListener>> = listeners.iter().map(|_| None).collect();
    let left = give(listeners, &mut found, inherited, |listener, name, _| listener.name == name);
    let mut left = give(listeners, &mut found, left, |listener, _, at| at.is_some_and(|at| same(listener.address, at)));
    if left.len() == found.iter().filter(|place| place.is_none()).count() {
        let places = found.iter_mut().filter(|place| place.is_none());
        places.zip(left.drain(..)).for_each(|(place, (_, socket))| *place = Some(socket));
    }
    for (name, socket) in left {
        let address = socket.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string());
        tracing::warn!(
            name,
            address,
            "an inherited socket belongs to no [[listener]]: closed; give one this name or address"
        );
    }
    found
}

/// Gives each socket to the first listener without one that it belongs to; gives back those that belong to none.
fn give(
    listeners: &[ListenerSettings],
    found: &mut [Option<TcpListener>],
    sockets: Vec<(String, TcpListener)>,
    belongs: impl Fn(&ListenerSettings, &str, Option<SocketAddr>) -> bool,
) -> Vec<(String, TcpListener)> {
    let mut left = Vec::new();
    for (name, socket) in sockets {
        let address = socket.local_addr().ok();
        let mut free = listeners.iter().zip(found.iter_mut()).filter(|(_, place)| place.is_none());
        match free.find(|(listener, _)| belongs(listener, &name, address)) {
            Some((_, place)) => *place = Some(socket),
            None => left.push((name, socket)),
        }
    }
    left
}

/// The same port, and the same address or both any.
fn same(wanted: SocketAddr, inherited: SocketAddr) -> bool {
    let (one, two) = (wanted.ip().to_canonical(), inherited.ip().to_canonical());
    wanted.port() == inherited.port() && (one == two || one.is_unspecified() && two.is_unspecified())
}

/// `[::]` takes IPv4 as well, unless another listener has that.
fn shares_port_with_ipv4(address: SocketAddr, listeners: &[ListenerSettings]) -> bool {
    let shares = |other: &ListenerSettings| other.address.is_ipv4() && other.address.port() == address.port();
    address.is_ipv6() && listeners.iter().any(shares)
}

fn bind(address: SocketAddr, only_ipv6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    platform::take_address_again(&socket)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_ipv6)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    prepare(socket.into())
}

fn prepare(socket: TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    // Connections inherit it; set here it costs nothing each time. Where they do not, replies are small anyway.
    let socket = Socket::from(socket);
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TlsMode;

    fn listener(name: &str, address: SocketAddr) -> ListenerSettings {
        ListenerSettings { name: name.into(), address, tls: TlsMode::None, auth_without_tls: false }
    }

    fn any_port() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    fn inherit(name: &str) -> ((String, TcpListener), SocketAddr) {
        let socket = TcpListener::bind(any_port()).unwrap();
        let address = socket.local_addr().unwrap();
        ((name.to_owned(), socket), address)
    }

    fn addresses(listeners: &[ListenerSettings], inherited: Vec<(String, TcpListener)>) -> Vec<SocketAddr> {
        let sockets = open(listeners, inherited).unwrap();
        sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
    }

    #[test]
    fn inherited_sockets_go_by_name_then_address_then_order() {
        let ((first, at_first), (second, at_second), (third, at_third)) = (inherit("tls"), inherit("x"), inherit("y"));
        let listeners = [listener("any", any_port()), listener("tls", any_port()), listener("plain", at_third)];
        assert_eq!(addresses(&listeners, vec![first, second, third]), [at_second, at_first, at_third]);
    }

    #[test]
    fn order_decides_nothing_when_the_numbers_differ() {
        let ((first, at_first), (second, at_second)) = (inherit("x"), inherit("y"));
        let bound = addresses(&[listener("any", any_port())], vec![first, second]);
        assert!(bound[0] != at_first && bound[0] != at_second);
    }

    #[test]
    fn port_0_takes_a_free_one_and_ipv6_takes_ipv4_along() {
        let listeners = [listener("a", any_port()), listener("b", "[::]:0".parse().unwrap())];
        let Ok(sockets) = open(&listeners[1..], Vec::new()) else {
            println!("skipped: no IPv6 on this machine");
            return;
        };
        let port = sockets[0].local_addr().unwrap().port();
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        assert_ne!(addresses(&listeners[..1], Vec::new())[0].port(), 0);
    }

    #[test]
    fn an_address_in_use_names_its_listener() {
        let taken = TcpListener::bind(any_port()).unwrap();
        let listeners = [listener("a", any_port()), listener("b", taken.local_addr().unwrap())];
        assert_eq!(open(&listeners, Vec::new()).unwrap_err().0, 1);
    }
}
