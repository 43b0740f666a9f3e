//! Hosts that share nothing but a network: a namespace each, cables with delay and loss to one
//! switch. Where the system does not permit namespaces, the hosts are addresses of loopback
//! instead, and cables cannot be cut.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use e2e::Answer;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Namespaces are called so, and whose process id follows is gone has left them behind.
const NAME: &str = "panocast-event-";

/// All hosts are in one network.
const PREFIX_LENGTH: u32 = 16;

/// The hosts.
#[derive(Debug)]
pub struct World {
    /// `None` on loopback.
    switch: Option<Mutex<Switch>>,
    /// First two numbers of all addresses.
    pub prefix: &'static str,
}

/// A host, or a network interface that moves between hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub usize);

#[derive(Debug)]
struct Switch {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where each port's interface is now.
    places: Vec<Port>,
}

impl World {
    /// Makes `hosts` hosts and, behind them, `interfaces` ports without one. Says why where that is
    /// not possible.
    pub fn make(hosts: usize, interfaces: usize) -> Result<Self, String> {
        remove_leftovers();
        // Denied, or no `ip`: nothing has been made yet.
        ip(&["netns", "add", &namespace(Port(0))])?;
        let ports = hosts + interfaces;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/event/switch.py");
        let mut process = Command::new("python3")
            .arg(script)
            .args((0..ports).map(|port| device(Port(port))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("python3: {e}"))?;
        let orders = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let mut switch = Switch {
            process,
            orders,
            answers,
            places: (0..ports).map(Port).collect(),
        };
        if switch.answer() != "ready" {
            remove_namespaces(1);
            return Err("the switch could not make its tap devices".to_owned());
        }
        for host in 0..hosts {
            switch.build(Port(host))?;
        }
        // Where they wait to be plugged in; `ip` finds a device only from where it is.
        for interface in (hosts..ports).map(Port) {
            ip(&[
                "link",
                "set",
                &device(interface),
                "netns",
                &namespace(Port(0)),
            ])?;
            switch.places[interface.0] = Port(0);
        }
        Ok(Self {
            switch: Some(Mutex::new(switch)),
            prefix: "10.20",
        })
    }

    /// Addresses of loopback instead.
    pub fn loopback() -> Self {
        Self {
            switch: None,
            prefix: "127.20",
        }
    }

    /// Whether hosts have networks of their own.
    pub fn is_real(&self) -> bool {
        self.switch.is_some()
    }

    /// Moves the calling thread to `host`: what it opens and starts from now on is there.
    pub fn enter(&self, host: Port) {
        if self.is_real() {
            enter(host);
        }
    }

    /// `program` on `host`.
    pub fn command(&self, host: Port, program: &Path) -> Command {
        if !self.is_real() {
            return Command::new(program);
        }
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &namespace(host)])
            .arg(program);
        command
    }

    /// Gives `host` an address.
    pub fn address(&self, host: Port, address: Ipv4Addr) {
        if self.is_real() {
            let address = format!("{address}/{PREFIX_LENGTH}");
            must(&[
                "-n",
                &namespace(host),
                "address",
                "add",
                &address,
                "dev",
                "eth0",
            ]);
        }
    }

    /// A listener on `host`; `address` is one that only that host knows.
    pub fn listener(&self, host: Port, address: SocketAddrV4) -> TcpListener {
        let own = format!("{}/32", address.ip());
        must(&["-n", &namespace(host), "address", "add", &own, "dev", "lo"]);
        on(host, move || {
            TcpListener::bind(address).expect("the address is the host's")
        })
    }

    /// GET from within `host`, such as of what listens on its loopback.
    pub fn ask(&self, host: Port, url: &str) -> Option<Answer> {
        let is_real = self.is_real();
        let url = url.to_owned();
        let ask = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(e2e::get(&url))
        };
        match is_real {
            true => on(host, ask),
            false => std::thread::spawn(ask)
                .join()
                .expect("asking does not panic"),
        }
    }

    /// Plugs an interface with its address into a host, out of wherever it was.
    pub fn plug(&self, interface: Port, host: Port, address: Ipv4Addr) {
        let Some(switch) = &self.switch else { return };
        let mut switch = switch.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, target) = (device(interface), namespace(host));
        let old = std::mem::replace(&mut switch.places[interface.0], host);
        must(&[
            "-n",
            &namespace(old),
            "link",
            "set",
            &name,
            "netns",
            &target,
        ]);
        let address = format!("{address}/{PREFIX_LENGTH}");
        must(&["-n", &target, "address", "add", &address, "dev", &name]);
        must(&["-n", &target, "link", "set", &name, "up"]);
    }

    /// How long packets to and from `port` take, and how many of a hundred are lost.
    pub fn shape(&self, port: Port, delay_ms: u32, loss_percent: f64) {
        self.order(&format!("delay {} {delay_ms}", device(port)));
        self.order(&format!("loss {} {loss_percent}", device(port)));
    }

    /// Pulls the cable: packets vanish, nobody is told.
    pub fn cut(&self, port: Port) {
        self.order(&format!("cut {}", device(port)));
    }

    /// Plugs it in again.
    pub fn mend(&self, port: Port) {
        self.order(&format!("mend {}", device(port)));
    }

    fn order(&self, line: &str) {
        if let Some(switch) = &self.switch {
            let mut switch = switch.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(switch.orders, "{line}").expect("the switch lives");
            assert_eq!(switch.answer(), "ok", "{line}");
        }
    }
}

impl Switch {
    fn answer(&mut self) -> String {
        let mut line = String::new();
        let _ = self.answers.read_line(&mut line);
        line.trim().to_owned()
    }

    /// One namespace with its end of the cable.
    fn build(&mut self, host: Port) -> Result<(), String> {
        let name = namespace(host);
        if host.0 > 0 {
            ip(&["netns", "add", &name])?;
        }
        let device = device(host);
        ip(&["link", "set", &device, "netns", &name, "name", "eth0"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        // Of two interfaces in one network, each answers and asks for its own address only, so that
        // nobody remembers a fixed address at the host's own interface.
        on(host, || {
            for (name, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
                let path = format!("/proc/sys/net/ipv4/conf/all/{name}");
                fs::write(&path, value).map_err(|e| format!("{path}: {e}"))?;
            }
            Ok::<_, String>(())
        })?;
        Ok(())
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        remove_namespaces(self.places.len());
    }
}

fn namespace(host: Port) -> String {
    format!("{NAME}{}-{}", std::process::id(), host.0)
}

/// At most 15 characters.
fn device(port: Port) -> String {
    format!("pe{}p{}", std::process::id(), port.0)
}

fn enter(host: Port) {
    let path = format!("/run/netns/{}", namespace(host));
    let file = File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), kind)
        .unwrap_or_else(|e| panic!("{path}: {e}"));
}

/// Does `work` on a thread of its own that is in `host`.
fn on<T: Send + 'static>(host: Port, work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        enter(host);
        work()
    });
    thread.join().expect("work on a host does not panic")
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let done = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|e| format!("ip: {e}"))?;
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    match done.status.success() {
        true => Ok(()),
        false => Err(format!("ip {}: {said}", arguments.join(" "))),
    }
}

fn must(arguments: &[&str]) {
    ip(arguments).unwrap_or_else(|e| panic!("{e}"));
}

fn remove_namespaces(count: usize) {
    for host in 0..count {
        let path = format!("/run/netns/{}", namespace(Port(host)));
        if Path::new(&path).exists() {
            let _ = ip(&["netns", "delete", &namespace(Port(host))]);
        }
    }
}

/// What runs that were killed have left.
fn remove_leftovers() {
    let Ok(entries) = fs::read_dir("/run/netns") else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(NAME) else {
            continue;
        };
        let owner = rest.split('-').next().unwrap_or_default();
        if !Path::new(&format!("/proc/{owner}")).exists() {
            let _ = ip(&["netns", "delete", &name]);
        }
    }
}
