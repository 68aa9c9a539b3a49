mod model;
mod owner;
mod policies;
mod restores;
mod schedules;
mod table;
mod tampering;
mod warming;
