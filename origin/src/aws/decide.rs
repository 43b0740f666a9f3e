//! What EC2 says now to the one step that comes next. No clock, no calls.

use std::{net::IpAddr, time::Duration};

use super::FORCE_AFTER;

/// What EC2 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Where the interface is; `None` on no instance.
    pub attachment: Option<Attachment>,
    /// Whether the Elastic IP, if one is wanted, is on the interface.
    pub has_address: bool,
    /// The interface's own address in the network.
    pub address: IpAddr,
}

/// An interface on an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// `eni-attach-…`
    pub id: String,
    /// `i-…`
    pub instance: String,
    /// How far it is.
    pub state: State,
}

/// How far an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not usable yet.
    Attaching,
    /// Usable.
    Attached,
    /// Nearly gone.
    Detaching,
}

/// Another instance that has been asked for the interface, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder(Option<(String, Duration)>);

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: all is in place.
    Done,
    /// Nothing: EC2 is at it.
    Wait(&'static str),
    /// Attach the interface to us.
    Attach,
    /// Take the interface from whoever has it.
    Detach {
        /// Which attachment to end.
        attachment: String,
        /// Who has it.
        instance: String,
        /// Without asking that instance's system.
        force: bool,
    },
    /// Put the Elastic IP on the interface, from wherever it is.
    Associate,
}

/// The next step for instance `us`; `holder` is kept between calls.
pub fn next(sight: &Sight, us: &str, holder: &mut Holder, now: Duration) -> Step {
    let Some(attachment) = &sight.attachment else {
        return Step::Attach;
    };
    if attachment.instance != us {
        return take_from(attachment, holder, now);
    }
    match attachment.state {
        State::Attaching => Step::Wait("the interface is being attached"),
        State::Detaching => Step::Wait("somebody is detaching the interface"),
        State::Attached if sight.has_address => Step::Done,
        State::Attached => Step::Associate,
    }
}

/// Asks once, then waits, then insists; again for each new holder.
fn take_from(attachment: &Attachment, holder: &mut Holder, now: Duration) -> Step {
    let known = holder.0.as_ref().filter(|(id, _)| *id == attachment.id);
    let asked = known.map(|(_, since)| *since);
    let detach = |force| Step::Detach {
        attachment: attachment.id.clone(),
        instance: attachment.instance.clone(),
        force,
    };
    match asked {
        Some(since) if now.saturating_sub(since) >= FORCE_AFTER => detach(true),
        Some(_) => Step::Wait("another instance has not let go of the interface yet"),
        None => {
            holder.0 = Some((attachment.id.clone(), now));
            match attachment.state {
                State::Detaching => Step::Wait("another instance is letting go of the interface"),
                State::Attaching | State::Attached => detach(false),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const US: &str = "i-new";

    fn sight(holder: Option<(&str, State)>, has_address: bool) -> Sight {
        Sight {
            attachment: holder.map(|(instance, state)| Attachment {
                id: format!("eni-attach-of-{instance}"),
                instance: instance.to_owned(),
                state,
            }),
            has_address,
            address: Ipv4Addr::new(10, 20, 0, 4).into(),
        }
    }

    fn detach(instance: &str, force: bool) -> Step {
        Step::Detach {
            attachment: format!("eni-attach-of-{instance}"),
            instance: instance.to_owned(),
            force,
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_free_interface_is_attached_then_gets_its_address() {
        let holder = &mut Holder::default();
        assert_eq!(next(&sight(None, true), US, holder, at(0)), Step::Attach);
        let coming = sight(Some((US, State::Attaching)), false);
        assert!(matches!(next(&coming, US, holder, at(1)), Step::Wait(_)));
        let here = sight(Some((US, State::Attached)), false);
        assert_eq!(next(&here, US, holder, at(2)), Step::Associate);
        let all = sight(Some((US, State::Attached)), true);
        assert_eq!(next(&all, US, holder, at(3)), Step::Done);
    }

    #[test]
    fn a_dead_holder_is_asked_once_and_then_forced() {
        let holder = &mut Holder::default();
        let dead = sight(Some(("i-old", State::Attached)), true);
        assert_eq!(next(&dead, US, holder, at(5)), detach("i-old", false));
        let going = sight(Some(("i-old", State::Detaching)), true);
        for second in 6..35 {
            assert!(matches!(
                next(&going, US, holder, at(second)),
                Step::Wait(_)
            ));
        }
        assert_eq!(next(&going, US, holder, at(35)), detach("i-old", true));
    }

    #[test]
    fn one_that_is_leaving_by_itself_is_not_asked() {
        let holder = &mut Holder::default();
        let going = sight(Some(("i-old", State::Detaching)), true);
        assert!(matches!(next(&going, US, holder, at(0)), Step::Wait(_)));
        assert_eq!(next(&going, US, holder, at(30)), detach("i-old", true));
    }

    #[test]
    fn each_new_holder_is_asked_anew() {
        let holder = &mut Holder::default();
        let one = sight(Some(("i-one", State::Attached)), true);
        let two = sight(Some(("i-two", State::Attached)), true);
        assert_eq!(next(&one, US, holder, at(0)), detach("i-one", false));
        assert_eq!(next(&two, US, holder, at(40)), detach("i-two", false));
        assert!(matches!(next(&two, US, holder, at(41)), Step::Wait(_)));
    }
}
