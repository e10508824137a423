//! What a data plan is spent on: the real stack in virtual time for a day of the asked traffic, multiplied out.
//!
//! | module | what |
//! |---|---|
//! | [`forecast`] | a day played, its bytes by cause, and the alternatives |
//! | [`chart`] | bars for a terminal, and as SVG; the amounts beside them |

pub mod chart;
pub mod forecast;
