"""Everything on one machine, behind `make run`: set-up of the demo, and a launcher that starts and ends all parts."""
