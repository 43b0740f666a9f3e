//! Access units to init segments and CMAF chunks.
