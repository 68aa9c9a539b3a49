mod model;
mod policies;
mod schedules;
mod table;
