//! Opens connections, begins a handshake on each and never goes on. Says `open <n>` when all are open, and ends with its input.
//!
//! In a process of its own, so that its descriptors are not those of who is tested.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::ExitCode,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(count)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: slow-handshakes <address> <count>");
        return ExitCode::FAILURE;
    };
    let Ok(count) = count.parse::<u64>() else {
        eprintln!("slow-handshakes: {count} is no count");
        return ExitCode::FAILURE;
    };
    mesh_tests::stress::descriptors(count + 100);
    let mut open = Vec::new();
    for n in 0..count {
        match TcpStream::connect(&address) {
            Ok(mut tcp) => {
                // The head of a record of 512 bytes, and the first few of them.
                let begun = [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
                // Who is closed at once is one that was refused.
                let _ = tcp.write_all(&begun);
                open.push(tcp);
            }
            Err(error) => {
                eprintln!("slow-handshakes: connection {n}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("open {}", open.len());
    let _ = std::io::stdin().read(&mut [0]);
    ExitCode::SUCCESS
}
