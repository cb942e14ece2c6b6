//! Ports for programs that bind them themselves, a while after they are told.

use std::net::TcpListener;

/// Ports that are free now, one behind the other. They are none of those that the system gives to whoever asks for any port: nobody
/// else is given one before the program has it.
pub fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    loop {
        let first = rand::random_range(10_000..30_000_u16);
        let ports = std::array::from_fn(|number| first + u16::try_from(number).unwrap());
        let held: Result<Vec<_>, _> = ports
            .iter()
            .map(|port| TcpListener::bind(("127.0.0.1", *port)))
            .collect();
        if held.is_ok() {
            return ports;
        }
    }
}
