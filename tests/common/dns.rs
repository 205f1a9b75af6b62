//! A name server for a network of its own: it knows a few names, fails for one domain, and knows no other.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::thread;

/// Offset of the flags, and their values (RFC 1035, section 4.1.1).
const FLAGS: usize = 2;
const GOOD: u16 = 0x8180;
const SERVFAIL: u16 = 0x8182;
const NXDOMAIN: u16 = 0x8183;

/// Where the question begins.
const HEADER: usize = 12;

/// An address (RFC 1035, section 3.2.2).
const A: u16 = 1;

pub struct NameServer {
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// On 127.0.0.1: `known` are this machine, and whatever ends with `failing` is nobody knows what.
    pub fn start(known: &'static [&'static str], failing: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").expect("a port of this network's own");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((n, from)) = socket.recv_from(&mut packet) {
                let (name, end) = question(&packet[..n]);
                let kind = u16::from_be_bytes([packet[end], packet[end + 1]]);
                let flags = match () {
                    () if known.contains(&name.as_str()) => GOOD,
                    () if name.ends_with(failing) => SERVFAIL,
                    () => NXDOMAIN,
                };
                noted.lock().expect("no panic in the server").push(name);
                let answer = answer(&packet[..end + 4], flags, flags == GOOD && kind == A);
                let _ = socket.send_to(&answer, from);
            }
        });
        Self { asked }
    }

    /// Names that were asked for, in their order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic in the server").clone()
    }
}

/// The name, and where it ends.
fn question(packet: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), HEADER);
    while packet[at] > 0 {
        let end = at + 1 + packet[at] as usize;
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).to_lowercase());
        at = end;
    }
    (labels.join("."), at + 1)
}

/// The question once more, and 127.0.0.1 if there is an address.
fn answer(question: &[u8], flags: u16, with_address: bool) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[FLAGS..FLAGS + 2].copy_from_slice(&flags.to_be_bytes());
    answer[6..8].copy_from_slice(&u16::from(with_address).to_be_bytes());
    answer[8..HEADER].fill(0);
    if with_address {
        // The name of the question, an address of the Internet, for a minute.
        answer.extend([0xC0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    answer
}
