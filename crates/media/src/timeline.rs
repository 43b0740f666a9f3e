//! Arrivals on a millisecond clock to access units in exact ticks.
