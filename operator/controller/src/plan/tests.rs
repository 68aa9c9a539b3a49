mod model;
mod policies;
mod schedules;
mod table;
mod tampering;
mod warming;
