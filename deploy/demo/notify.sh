#!/bin/sh
# Called by keepalived at each change of state: TYPE NAME STATE PRIORITY. One line each, for whoever counts changes of master.
echo "$(date +%s.%N) $2 $3" >>"@EVENTS@"
