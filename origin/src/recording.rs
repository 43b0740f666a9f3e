//! placeholder
use media::{AccessUnit, Immersive, Track};
use std::time::SystemTime;
/// .
#[derive(Clone, Debug)]
pub enum Recording {}
/// .
#[derive(Debug)]
pub enum Session {}
impl Recording {
    /// .
    pub async fn settled(&self) {}
    /// .
    pub fn start(&self, _s: &str, _e: &str, _a: SystemTime, _i: Immersive) -> Option<Session> {
        None
    }
}
impl Session {
    /// .
    pub fn push(&mut self, _u: &AccessUnit) {}
    /// .
    pub fn tracks(&mut self, _v: Option<&Track>, _a: Option<&Track>) {}
    /// .
    pub fn report(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    /// .
    pub fn finish(self) {}
}
