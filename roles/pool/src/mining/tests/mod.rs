mod channels;
mod hostile;
mod rig;
mod shares;
