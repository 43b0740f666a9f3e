//! CMAF chunks to parts, segments, windows and playlists.
