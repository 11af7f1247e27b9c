-- The keepers' beats (LAW-12). A beat says: all that this keeper was told is in this incarnation of the store, as of now. Filters look
-- for it beside the records.

-- keys: store facts of the first partition, counters of the partition that this keeper wrote last. args: store id, name, 'on' or 'off',
-- run id, replication id, deadline in ms, the mark that the keeper knows there, last number of its journal.
local function beat(keys, args)
  local name, state, run_id, replication_id, deadline, mark, journal = unpack(args, 2)
  if #args ~= 8 or (state ~= 'on' and state ~= 'off') or not string.match(name, '^[a-z0-9._-]+$') then
    return fail('ARGUMENT', 'an argument is missing or wrong')
  end
  if redis.call('HGET', keys[1], 'store') ~= args[1] then return fail('FOREIGN', 'another store, or none') end
  local now = server_ms()
  if now > tonumber(deadline) then return fail('LATE', 'the beat arrived after its deadline') end
  if tonumber(redis.call('HGET', keys[2], 'mark:' .. name) or '0') < tonumber(mark) then
    return fail('ROLLBACK', 'the store has lost what this keeper wrote')
  end
  local before = redis.call('HGET', keys[1], 'beat:' .. name) or ''
  if string.sub(before, 1, 8) == 'retired ' then return fail('RETIRED', 'this keeper was retired by `store accept`') end
  redis.call('HSET', keys[1], 'beat:' .. name, string.format('%s %s %s %.0f %s', state, run_id, replication_id, now, journal))
  return { 'beat', string.format('%.0f', now) }
end
-- Without beats a full store would take withdrawals and yet defer all mail.
redis.register_function { function_name = 'keeper_beat', callback = beat, flags = { 'allow-oom' } }

-- Retires a keeper that will not come back, or readmits one that was retired or has lost its journal; the only way past LAW-12, so it
-- leaves a note with its author. keys: store facts, ledger and counters of the first partition. args: store id, event id (8),
-- document, SHA-256, name, 'retire' or 'readmit'.
local function accept(keys, args)
  if redis.call('HGET', keys[1], 'store') ~= args[1] then return fail('FOREIGN', 'another store, or none') end
  local id, failure = note(keys[2], keys[3], args[2], args[3], args[4])
  if not id then return failure end
  if args[6] == 'retire' then
    redis.call('HSET', keys[1], 'beat:' .. args[5], string.format('retired - - %.0f 0', server_ms()))
  else
    redis.call('HDEL', keys[1], 'beat:' .. args[5])
  end
  return { 'applied', id, tostring(redis.call('HINCRBY', keys[1], 'epoch', 1)) }
end
redis.register_function { function_name = 'admin_accept', callback = accept, flags = { 'allow-oom' } }

-- Forgets the marks of a keeper that begins a new journal: its numbers start anew. keys: counters. args: name.
redis.register_function('admin_forget_mark', function(keys, args)
  redis.call('HDEL', keys[1], 'mark:' .. args[1])
  return 'OK'
end)
