mod model;
mod owner;
mod policies;
mod schedules;
mod table;
mod tampering;
mod warming;
