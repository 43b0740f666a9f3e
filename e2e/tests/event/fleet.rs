//! The machines of the event: boots what the simulated AWS starts, moves the fixed interfaces as a
//! hypervisor would, and puts others in the place of those that go.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use e2e::{PATIENCE, until};
use tokio::task::JoinHandle;

use crate::{
    balancer::Balancer,
    cloud::{Cloud, Instance},
    node::{Node, Role, Why},
    world::{Port, World},
};

/// Groups of the origins.
const ORIGINS: [&str; 2] = ["origin-primary", "origin-backup"];
/// Places in lists of the two.
pub const PRIMARY: usize = 0;
/// See above.
pub const BACKUP: usize = 1;

/// How often the simulated AWS is asked where the fixed interfaces are.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// All machines.
pub struct Fleet {
    /// Their hosts' network.
    pub world: Arc<World>,
    /// Who starts and takes them.
    pub cloud: Arc<Cloud>,
    /// Primary and backup.
    pub origins: Vec<Node>,
    /// In the order in which they came.
    pub edges: Vec<Node>,
    /// What stands before the edges.
    pub balancer: Balancer,
    /// The origins' fixed interfaces and addresses.
    pub fixed: [(Port, Ipv4Addr); 2],
    folder: PathBuf,
    hosts: std::ops::Range<usize>,
    machines: Machines,
    mover: JoinHandle<()>,
}

/// Instances that run, by id.
type Machines = Arc<Mutex<BTreeMap<String, Port>>>;

impl Fleet {
    /// Boots what the deployment starts with, on `hosts`, and waits until all of it is ready.
    /// Behind them lie the ports of the fixed interfaces.
    pub async fn boot(
        world: Arc<World>,
        cloud: Arc<Cloud>,
        hosts: std::ops::Range<usize>,
        folder: PathBuf,
    ) -> Self {
        let interfaces = cloud.interfaces();
        let fixed = [0, 1].map(|index| {
            let config = cloud.config(ORIGINS[index]);
            let own = interfaces.iter().find(|(name, _)| config.contains(*name));
            let (_, interface) = own.expect("the config names the interface");
            (Port(hosts.end + index), interface.address)
        });
        let machines = Machines::default();
        let mover = move_interfaces(
            Arc::clone(&world),
            Arc::clone(&cloud),
            fixed,
            Arc::clone(&machines),
        );
        let mut fleet = Self {
            balancer: Balancer::start(Arc::clone(&cloud)).await,
            world,
            cloud,
            origins: Vec::new(),
            edges: Vec::new(),
            fixed,
            folder,
            hosts,
            machines,
            mover: tokio::spawn(mover),
        };
        for (index, group) in ORIGINS.iter().enumerate() {
            for instance in fleet.cloud.members(group) {
                let node = fleet.start(group, Role::Origin(fixed[index].1), instance);
                fleet.origins.push(node);
            }
        }
        for instance in fleet.cloud.members("edge") {
            let node = fleet.start("edge", Role::Edge, instance);
            fleet.edges.push(node);
        }
        for node in fleet.origins.iter_mut().chain(&mut fleet.edges) {
            node.ready(&fleet.world).await;
        }
        fleet
    }

    /// Boots one machine; it is not ready yet.
    fn start(&mut self, group: &str, role: Role, instance: Instance) -> Node {
        let host = Port(
            self.hosts
                .next()
                .expect("hosts are enough for all machines"),
        );
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines.insert(instance.id.clone(), host);
        drop(machines);
        if role == Role::Edge {
            self.balancer.knows(&instance.id, instance.address);
        }
        let place = (instance, host);
        Node::boot(&self.world, &self.cloud, (group, role), place, &self.folder)
    }

    /// An origin that has been told to go leaves, and is replaced by one that takes its interface.
    pub async fn replace_origin(&mut self, index: usize) {
        let (group, address) = (ORIGINS[index], self.fixed[index].1);
        let mut old = self.origins.remove(index);
        let instance = self.see_off(&mut old, group).await;
        let mut node = self.start(group, Role::Origin(address), instance);
        node.ready(&self.world).await;
        self.origins.insert(index, node);
    }

    /// The longest-serving edge, which has been told to go, leaves and is replaced.
    pub async fn replace_edge(&mut self) {
        let mut old = self.edges.remove(0);
        let instance = self.see_off(&mut old, "edge").await;
        let address = instance.address;
        let mut node = self.start("edge", Role::Edge, instance);
        node.ready(&self.world).await;
        until("requests go to the new edge", PATIENCE, async || {
            self.balancer.sends_to(address).then_some(())
        })
        .await;
        self.edges.push(node);
    }

    /// Waits until the program of a machine has ended by itself; the machine that comes instead.
    async fn see_off(&self, old: &mut Node, group: &str) -> Instance {
        let id = old.instance.id.clone();
        old.gone().await;
        if old.told == Some(Why::Group) {
            assert_eq!(self.cloud.lifecycle(&id), "Terminating:Proceed");
        }
        self.cloud.replace(group, &id)
    }

    /// A worker wakes because jobs wait.
    pub async fn wake_worker(&mut self) -> Node {
        until("jobs wait", PATIENCE, async || {
            (self.cloud.jobs() > 0).then_some(())
        })
        .await;
        let instance = self.cloud.grow("transcoder");
        let mut node = self.start("transcoder", Role::Transcoder, instance);
        node.ready(&self.world).await;
        node
    }

    /// A worker that has been told to go gives back what it cannot finish, and is replaced.
    pub async fn replace_worker(&mut self, mut old: Node) -> Node {
        let instance = self.see_off(&mut old, "transcoder").await;
        let mut node = self.start("transcoder", Role::Transcoder, instance);
        node.ready(&self.world).await;
        node
    }

    /// Waits until both origins carry `stream` on one timeline and have come as far, so that either
    /// may be lost.
    pub async fn locked(&self, stream: &str) {
        until("both origins are at one", PATIENCE, async || {
            let next_msn = |node: &Node| {
                let streams = node.says(&self.world, "/api/streams");
                let mut all = streams.as_array()?.iter();
                let one = all.find(|one| one["name"] == stream)?;
                let listed = one["run"]["target_duration"].is_u64();
                let locked = listed && one["twin"]["state"] == "locked";
                one["run"]["next_msn"].as_u64().filter(|_| locked)
            };
            let [primary, backup] = [PRIMARY, BACKUP].map(|index| next_msn(&self.origins[index]));
            (primary?.abs_diff(backup?) <= 1).then_some(())
        })
        .await;
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.mover.abort();
    }
}

/// Plugs each fixed interface into the machine that the simulated AWS has it on.
async fn move_interfaces(
    world: Arc<World>,
    cloud: Arc<Cloud>,
    fixed: [(Port, Ipv4Addr); 2],
    machines: Machines,
) {
    let mut plugged = fixed.map(|_| None);
    loop {
        let interfaces = cloud.interfaces();
        for ((port, address), now) in fixed.iter().zip(&mut plugged) {
            let mut all = interfaces.values();
            let interface = all.find(|interface| interface.address == *address);
            let machines = machines.lock().unwrap_or_else(PoisonError::into_inner);
            let holder = interface.and_then(|interface| interface.holder.as_ref());
            let host = holder.and_then(|id| machines.get(id)).copied();
            if let Some(host) = host.filter(|host| Some(*host) != *now) {
                world.plug(*port, host, *address);
                *now = Some(host);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
