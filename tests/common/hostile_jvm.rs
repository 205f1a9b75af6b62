//! A process that is taken for a HotSpot JVM, by a mapped `libjvm.so`, and makes as its dump what it is told.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use super::jvm::default_sigquit;

/// The attach protocol as HotSpot speaks it. `help` and `used` choose the layout of the dump.
const SCRIPT: &str = r#"
import mmap, os, signal, socket, stat, sys, threading, time
library, kind, help, used = sys.argv[1:5]
file = open(library, 'r+b')
mapped = mmap.mmap(file.fileno(), 0)
name = '/tmp/.java_pid%d' % os.getpid()
HEADER = b'JAVA PROFILE 1.0.2\0' + (8).to_bytes(4, 'big') + bytes(8)
LONGEST = (1 << 32) - 1

def record(length):
    return b'\x01' + bytes(4) + length.to_bytes(4, 'big')

# 128 MiB, and soon 4 TiB more.
def grow(path):
    out = open(path, 'xb')
    out.write(HEADER + record(1 << 27))
    out.truncate(out.tell() + (1 << 27))
    def more():
        time.sleep(0.1)
        for _ in range(1000):
            end = os.fstat(out.fileno()).st_size
            os.pwrite(out.fileno(), record(LONGEST), end)
            os.truncate(out.fileno(), end + 9 + LONGEST)
    out.flush()
    threading.Thread(target=more, daemon=True).start()

def dump(path):
    if kind == 'fifo':
        os.mkfifo(path)
    elif kind == 'held fifo':
        os.mkfifo(path)
        open(path, 'wb').write(HEADER)
    elif kind == 'socket':
        socket.socket(socket.AF_UNIX).bind(path)
    elif kind == 'directory':
        os.mkdir(path)
    elif kind == 'device':
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    elif kind == 'link':
        os.symlink('/etc/shadow', path)
    elif kind == 'part':
        open(path, 'xb').write(HEADER)
        os.mkfifo(os.path.dirname(path) + '/empty.0')
        open(path + '.p0', 'xb').write(b'x' * 100)
        time.sleep(0.2)
    elif kind == 'endless':
        grow(path)

def answer(client):
    fields = b''
    while fields.count(b'\0') < 5:
        fields += client.recv(1)
    _, operation, first = fields.decode().split('\0')[:3]
    text = ''
    if first == 'GC.heap_info':
        text = ' garbage-first heap   total 262144K, used ' + used + 'K [0x1, 0x2)\n'
    elif first == 'help GC.heap_dump':
        text = help
    elif operation == 'dumpheap':
        dump(first)
        text = 'Heap dump file created [1 bytes in 0.001 secs]\n'
        if kind == 'escapes':
            text = '\nFORGED: all is well\nUnable to create: no \x1b[31mroom\x07\r\x9b2J\n'
    client.sendall(('0\n' + text).encode())
    if first == 'Thread.print' and kind == 'many threads':
        client.sendall(b'Full thread dump\n')
        stack = b'"pool-1-thread-1" #12 prio=5\n' + b'\tat com.acme.Order.wait(Order.java:7)\n' * 20
        for _ in range(320):
            client.sendall(stack * ((1 << 20) // len(stack) + 1))
    client.close()

def serve():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen(5)
    while True:
        try:
            answer(listener.accept()[0])
        except OSError:
            pass

started = []
def on_quit(*_):
    if not started:
        started.append(threading.Thread(target=serve, daemon=True))
        started[0].start()

signal.signal(signal.SIGQUIT, on_quit)
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
print('READY', flush=True)
while True:
    time.sleep(0.01)
"#;

/// Ends with its test.
pub struct HostileJvm {
    child: Child,
    _library: tempfile::TempDir,
}

impl HostileJvm {
    /// `kind` is that of the file that it makes; the options of `GC.heap_dump` and the used kilobytes of the heap tell
    /// how the dump is read.
    pub fn start(kind: &str, help: &str, used: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("libjvm.so");
        std::fs::write(&library, [0; 4096]).unwrap();
        let mut python = default_sigquit();
        python.arg("python3").args(["-c", SCRIPT]).arg(library).args([kind, help, used]).stdout(Stdio::piped());
        let mut child = python.spawn().expect("python3 can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "READY\n");
        Self { child, _library: dir }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for HostileJvm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(format!("/tmp/.java_pid{}", self.pid()));
    }
}
