mod channels;
mod hostile;
pub(crate) mod rig;
mod shares;
