-- Shares the slots of a base model's engines among gateway processes, and what departments have been served.
--
-- The pool is a hash: `now` is the virtual time, `d<id>` a department's counter. Each engine has a hash from processes
-- to `held waiting head until`: the slots that a process may fill, whether requests wait there for this engine, and the
-- rank of the first of them. What a process may fill it may have filled since it was last heard; so while it has
-- requests under way, its slots stay its own for longer than it may go on filling them.
--
-- KEYS: the pool, then one for each engine.
-- ARGV: the process, how long it may hold slots in ms, how long they are not given to others while it is silent and has
--   requests under way, its virtual time, the rank of its first waiting request, how many departments follow; for each:
--   id, floor (the counter is at least this), and what was served since the last exchange; then for each engine: its
--   slots, those filled here, those that may be filled here while the answer travels, and how many requests wait here
--   for it.
-- Returns the virtual time, the departments' counters, and for each engine: slots held from now on, the rank of the
--   first request that waits for it elsewhere or '', slots left to anybody, and how many processes hold some.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local pool, process, life, silence = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local head, count = tonumber(ARGV[5]), tonumber(ARGV[6])

local function text(number) return string.format('%.17g', number) end

local time = math.max(tonumber(redis.call('HGET', pool, 'now') or '0'), tonumber(ARGV[4]))
redis.call('HSET', pool, 'now', text(time))
redis.call('PEXPIRE', pool, 86400000)

local counters = {}
for n = 1, count do
  local first = 6 + (n - 1) * 3
  local name, floor, served = 'd' .. ARGV[first + 1], tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  local counter = math.max(tonumber(redis.call('HGET', pool, name) or '0'), floor) + served
  redis.call('HSET', pool, name, text(counter))
  counters[n] = text(counter)
end

local engines = {}
for n = 1, #KEYS - 1 do
  local engine, first = KEYS[n + 1], 6 + count * 3 + (n - 1) * 4
  local slots, filled = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local kept, want = tonumber(ARGV[first + 3]), tonumber(ARGV[first + 4])
  local own = 0
  local free, holders, ahead, best = slots - filled, 1, 0, ''
  local others_wait = false
  local fields = redis.call('HGETALL', engine)
  for f = 1, #fields, 2 do
    local held, waiting, rank, ends = string.match(fields[f + 1], '^(%S+) (%S+) (%S+) (%S+)$')
    if tonumber(ends) <= now then
      redis.call('HDEL', engine, fields[f])
    elseif fields[f] == process then
      own = tonumber(held)
    else
      free, holders = free - tonumber(held), holders + 1
      if tonumber(waiting) > 0 and tonumber(ends) - silence + life > now then
        others_wait = true
        if best == '' or tonumber(rank) < tonumber(best) then best = rank end
        if want == 0 or tonumber(rank) < head then ahead = ahead + 1 end
      end
    end
  end
  local granted = 0
  if want > 0 then
    granted = math.min(want, free - ahead)
    if others_wait then
      granted = math.min(granted, 1)
    else
      -- Those who come while this answer travels need not wait as well.
      granted = granted + math.floor(math.max(free - want, 0) / (2 * holders))
    end
  elseif not others_wait then
    granted = math.floor(free / (2 * holders))
  end
  local held = math.max(filled + math.max(granted, 0), math.min(kept, own))
  local ends = now + ((filled > 0 or want > 0) and silence or life)
  redis.call('HSET', engine, process, held .. ' ' .. want .. ' ' .. text(head) .. ' ' .. text(ends))
  redis.call('PEXPIRE', engine, silence * 2)
  engines[n] = { held, best, free, holders }
end
return { text(time), counters, engines }
