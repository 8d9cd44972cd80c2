//! A proxy in front of an object store that answers one request in another way.
//!
//! Knows as much of HTTP/1.1 as clients and servers of S3 use: heads, bodies of a length or in chunks. Each connection of a
//! client is a thread with a connection of its own to the store.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a slow answer takes.
const SLOW: Duration = Duration::from_millis(700);

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The store is busy, and says so: `503`.
    Busy,
    /// The answer takes long.
    Slow,
    /// The connection breaks in the middle of the request.
    TornRequest,
    /// The connection breaks in the middle of the answer.
    TornAnswer,
    /// The store does it, and the answer is lost.
    LostAnswer,
}

/// Which requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Those that read.
    Reads,
    /// Those that write.
    Writes,
}

/// The request that is answered in another way, and how many came.
#[derive(Default)]
struct Script {
    wrong: Option<(Of, u64, Wrong)>,
    reads: u64,
    writes: u64,
    happened: bool,
}

/// The proxy; it ends with its process.
pub(super) struct Proxy {
    pub(super) endpoint: String,
    script: Arc<Mutex<Script>>,
}

impl Proxy {
    /// A proxy before this server: `http://host:port`.
    pub(super) fn before(endpoint: &str) -> Self {
        let store = endpoint.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::clone(&script);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (store, script) = (store.clone(), Arc::clone(&shared));
                // A connection that breaks off is what this is about.
                std::thread::spawn(move || serve(client, &store, &script).ok());
            }
        });
        Self { endpoint, script }
    }

    /// The `number`th of these requests, from now on, is answered in another way.
    pub(super) fn let_go_wrong(&self, wrong: Option<(Of, u64, Wrong)>) {
        *self.script.lock().unwrap() = Script {
            wrong,
            ..Script::default()
        };
    }

    /// Whether that request has come.
    pub(super) fn has_happened(&self) -> bool {
        self.script.lock().unwrap().happened
    }

    /// How many requests came: reads and writes.
    pub(super) fn seen(&self) -> (u64, u64) {
        let script = self.script.lock().unwrap();
        (script.reads, script.writes)
    }
}

impl Script {
    fn next(&mut self, method: &str) -> Option<Wrong> {
        let (of, count) = match method {
            "GET" | "HEAD" => (Of::Reads, &mut self.reads),
            _ => (Of::Writes, &mut self.writes),
        };
        *count += 1;
        let (wanted, number, wrong) = self.wrong?;
        let hit = wanted == of && number == *count;
        self.happened |= hit;
        hit.then_some(wrong)
    }
}

/// A request or an answer, read to its end.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    /// The next one; `None` where there is none. `bare` says of a first line that no body follows.
    fn read(from: &mut impl BufRead, bare: impl Fn(&str) -> bool) -> io::Result<Option<Self>> {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            head.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let mut body = Vec::new();
        if bare(&head) {
            return Ok(Some(Self { head, body }));
        }
        if field(&head, "transfer-encoding").is_some() {
            read_chunks(from, &mut body)?;
        } else if let Some(length) = field(&head, "content-length") {
            body.resize(length.parse().unwrap(), 0);
            from.read_exact(&mut body)?;
        }
        Ok(Some(Self { head, body }))
    }

    fn write(&self, to: &mut TcpStream) -> io::Result<()> {
        to.write_all(self.head.as_bytes())?;
        to.write_all(&self.body)
    }

    /// The head, and half of the body; half of the head where there is no body.
    fn write_half(&self, to: &mut TcpStream) -> io::Result<()> {
        if self.body.is_empty() {
            return to.write_all(&self.head.as_bytes()[..self.head.len() / 2]);
        }
        to.write_all(self.head.as_bytes())?;
        to.write_all(&self.body[..self.body.len() / 2])
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim())
}

/// Reads a body in chunks as it travels, with their lengths.
fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let start = body.len();
        from.read_until(b'\n', body)?;
        let length = String::from_utf8_lossy(&body[start..]).into_owned();
        let length = usize::from_str_radix(length.trim().split(';').next().unwrap(), 16).unwrap();
        let end = body.len();
        body.resize(end + length + 2, 0);
        from.read_exact(&mut body[end..])?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn serve(mut client: TcpStream, store: &str, script: &Mutex<Script>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut requests = BufReader::new(client.try_clone()?);
    let mut store = TcpStream::connect(store)?;
    store.set_nodelay(true)?;
    let mut answers = BufReader::new(store.try_clone()?);
    while let Some(request) = Message::read(&mut requests, |_| false)? {
        let method = request
            .head
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        let wrong = script.lock().unwrap().next(&method);
        match wrong {
            Some(Wrong::Busy) => {
                client.write_all(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n")?;
                continue;
            }
            Some(Wrong::TornRequest) => {
                request.write_half(&mut store)?;
                store.shutdown(Shutdown::Both)?;
                return client.shutdown(Shutdown::Both);
            }
            _ => {}
        }
        request.write(&mut store)?;
        let bare =
            |head: &str| method == "HEAD" || head.contains(" 204 ") || head.contains(" 304 ");
        let Some(answer) = Message::read(&mut answers, bare)? else {
            return client.shutdown(Shutdown::Both);
        };
        match wrong {
            Some(Wrong::TornAnswer) => answer.write_half(&mut client)?,
            Some(Wrong::Slow) => std::thread::sleep(SLOW),
            _ => {}
        }
        if matches!(wrong, Some(Wrong::TornAnswer | Wrong::LostAnswer)) {
            return client.shutdown(Shutdown::Both);
        }
        answer.write(&mut client)?;
    }
    Ok(())
}
