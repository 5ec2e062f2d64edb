-- Exchanges what gateway processes hold of counters, all in one step.
--
-- A counter's book is a hash: `settled`, the units that are used up, and for each process `units until`, what it holds:
-- its requests under way and what it may still hand out. Of a window, the list of slices says which settled units
-- leave when: `end units`, the oldest first. Every use is counted no earlier than it happened, so that no window of
-- whatever beginning ever sees more than the limit.
--
-- KEYS: for each counter its book and its slices.
-- ARGV: the process, how long it may hold units in ms, then six for each counter:
--   span in ms (above 0: a sliding window; 0: nothing settles; below 0: a period, kept for so long),
--   limit, units used up since the last exchange, units held, units wanted at once, units wished for on top.
-- Returns for each counter: units granted, units left to anybody, ms until what was refused may be had (-1: unknown),
--   processes that hold some of it.
local SLICES = 480
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local process, life = ARGV[1], tonumber(ARGV[2])

local function pair(text)
  local first, second = string.match(text, '^(%S+) (%S+)$')
  return tonumber(first), tonumber(second)
end

local function words(first, second)
  return string.format('%.17g %.17g', first, second)
end

-- Take out what has left the window and put in what is used up now; returns the change of the sum.
local function slide(slices, span, used)
  local change = used
  local oldest = redis.call('LINDEX', slices, 0)
  while oldest do
    local ends, units = pair(oldest)
    if ends > now - span then break end
    change = change - units
    redis.call('LPOP', slices)
    oldest = redis.call('LINDEX', slices, 0)
  end
  if used ~= 0 then
    local length = span / SLICES
    local ends = (math.floor(now / length) + 1) * length
    local newest = redis.call('LINDEX', slices, -1)
    local last, units = 0, 0
    if newest then last, units = pair(newest) end
    if last == ends then
      redis.call('LSET', slices, -1, words(ends, units + used))
    else
      redis.call('RPUSH', slices, words(ends, used))
    end
    redis.call('PEXPIRE', slices, math.ceil(span * 2))
  end
  return change
end

-- How long until `units` will have left the window.
local function wait_for(slices, span, units)
  for _, slice in ipairs(redis.call('LRANGE', slices, 0, -1)) do
    local ends, amount = pair(slice)
    units = units - amount
    if units <= 0 then return math.ceil(ends + span - now) end
  end
  return -1
end

local answers = {}
for n = 1, #KEYS / 2 do
  local book, slices = KEYS[2 * n - 1], KEYS[2 * n]
  local first = 2 + (n - 1) * 6
  local span, limit = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local used, held = tonumber(ARGV[first + 3]), tonumber(ARGV[first + 4])
  local want, wish = tonumber(ARGV[first + 5]), tonumber(ARGV[first + 6])

  local settled, others, holders, lost, known = 0, 0, 1, 0, false
  local fields = redis.call('HGETALL', book)
  for f = 1, #fields, 2 do
    local name = fields[f]
    if name == 'settled' then
      settled = tonumber(fields[f + 1])
    elseif name == process then
      known = true
    else
      local units, ends = pair(fields[f + 1])
      if ends > now then
        others, holders = others + units, holders + 1
      else
        redis.call('HDEL', book, name)
        -- Its process is gone and cannot say what it has used: all of it, for as long as a window lasts.
        lost = lost + units
      end
    end
  end
  if span > 0 then
    -- Who was thought to be gone has been charged with all it held.
    if not known then used = 0 end
    settled = settled + slide(slices, span, used + lost)
  elseif span < 0 then
    settled = settled + used
  end

  local free = limit - settled - others - held
  local granted, wait = math.max(math.min(want, free), 0), 0
  if granted < want then
    wait = -1
    if span > 0 then wait = wait_for(slices, span, want - free) end
  elseif wish > 0 then
    granted = granted + math.max(math.floor(math.min(wish, (free - want) / (2 * holders))), 0)
  end
  redis.call('HSET', book, process, words(held + granted, now + life))
  if span ~= 0 then redis.call('HSET', book, 'settled', string.format('%.17g', settled)) end
  redis.call('PEXPIRE', book, math.ceil(math.max(math.abs(span), life) * 2))
  answers[n] = { string.format('%.17g', granted), string.format('%.17g', free - granted), wait, holders }
end
return answers
