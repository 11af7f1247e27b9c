#!lua name=consent
-- The only writers of records and ledger (layout v1; milter/README.md draws it). One function a rank and act (LAW-6): which of
-- them a Redis user may call is the ACL's business (+fcall|NAME), and no argument names a rank. Each call is atomic, touches the
-- keys of one partition, and may be repeated: the event id tells a repetition (LAW-11).

local RECORD = 28
local EVENT_VERSION = 1
local VERSION_NIBBLE = 16 -- record version 1 in the high nibble
local CHAIN_MAX = 64      -- how far back a repetition is looked for
local RECORDS_MAX = 1024  -- of one subject; readers refuse more
local NEVER = 4294967296  -- an expiry of 0 compares as later than any other

local KIND = { grant = 1, implied = 2, soft_optin = 3, asserted = 4, stop = 6, seal = 11 }
local RANK = { subject = 1, officer = 2, admin = 3, sender = 4 }
local ACT = { grant = 1, withdraw = 2 }
local APPLIED, STALE = 1, 2
local STATES = { [1] = 1, [2] = 4, [3] = 1, [4] = 1, [6] = 4 } -- how many states a kind has
local SOURCES = 13
local SYSTEM_RANK = 5

local function fail(word, text)
  return redis.error_reply(word .. ' ' .. text)
end

local function server_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- A record's fields; `at` is where it begins in `value`.
local function unpack_record(value, at)
  local scope, vk, sr, fs, statement, event_ms, expiry, ledger_ms, ledger_seq =
    struct.unpack('>I4BBBI2I6I4I6I2', value, at)
  return {
    scope = scope, kind = vk % 16, state = math.floor(sr / 16), rank = sr % 16, flags = math.floor(fs / 32), source = fs % 32,
    statement = statement, event_ms = event_ms, expiry = expiry, ledger_ms = ledger_ms, ledger_seq = ledger_seq,
    month = string.byte(value, at + RECORD - 1),
  }
end

-- The first 19 bytes, which an event repeats.
local function pack_head(r)
  return struct.pack('>I4BBBI2I6I4', r.scope, VERSION_NIBBLE + r.kind, r.state * 16 + r.rank, r.flags * 32 + r.source, r.statement,
    r.event_ms, r.expiry)
end

-- The total order of cm_record_supersedes (core/record.c): newest first, ties towards what permits less. LAW-3
local function supersedes(b, a)
  if b.event_ms ~= a.event_ms then return b.event_ms > a.event_ms end
  if b.state ~= a.state then return b.state > a.state end
  if b.rank ~= a.rank then return b.rank > a.rank end
  if b.statement ~= a.statement then return b.statement < a.statement end
  if b.expiry ~= a.expiry then
    return (b.expiry == 0 and NEVER or b.expiry) < (a.expiry == 0 and NEVER or a.expiry)
  end
  if b.source ~= a.source then return b.source > a.source end
  return b.flags > a.flags
end

-- Where the record with this key (scope and kind, 5 bytes) stands, or where it belongs: records are sorted by key.
local function locate(value, key)
  for at = 1, #value, RECORD do
    local here = string.sub(value, at, at + 4)
    if here == key then return at, true end
    if here > key then return at, false end
  end
  return #value + 1, false
end

local function put(value, at, found, record)
  return string.sub(value, 1, at - 1) .. record .. string.sub(value, found and at + RECORD or at)
end

-- The result of an event that is already in the chain which ends at this ledger id, or nil. LAW-11
local function repeated(ledger_key, ms, seq, event_id)
  for _ = 1, CHAIN_MAX do
    if ms == 0 then return nil end
    local id = string.format('%.0f-%.0f', ms, seq)
    local entry = redis.call('XRANGE', ledger_key, id, id)[1]
    if not entry then return nil end
    local packed = entry[2][2]
    if string.sub(packed, 4, 11) == event_id then
      return { 'duplicate', id, string.format('%.0f', (struct.unpack('>I6', packed, 31))) }
    end
    ms, seq = struct.unpack('>I6I2', packed, 41)
  end
  return nil
end

-- LAW-3: a live stop is dated after every grant of the partition, so that a clock set back cannot make it older than
-- what it covers. A grant is never dated ahead of the server's clock.
local function date_of(act, given_ms, now, counters_key)
  if given_ms > now then return nil end
  if given_ms > 0 then return given_ms end
  if act ~= 'withdraw' then return now end
  local newest = tonumber(redis.call('HGET', counters_key, 'newest_grant') or '0')
  return math.max(now, newest + 1)
end

local function refusal_of(act, rank, new, document)
  local is_stop = new.kind == KIND.stop
  if (act == 'withdraw') ~= is_stop or new.kind < 1 or new.kind > KIND.stop or new.kind == 5 then
    return fail('KIND', 'this function does not write records of that kind')
  end
  if new.state < 1 or new.state > STATES[new.kind] or new.source > SOURCES then
    return fail('STATE', 'no such state or source') -- readers would take the whole subject for damaged
  end
  if act == 'grant' and new.scope == 0 then return fail('SCOPE', 'a grant names one purpose') end
  if is_stop and new.expiry ~= 0 then return fail('EXPIRY', 'a stop does not lapse') end
  if new.kind == KIND.implied and new.expiry == 0 then return fail('EXPIRY', 'implied consent lapses') end -- LAW-7
  if new.kind == KIND.grant and rank ~= 'subject' and (new.source == 0 or new.statement == 0 or document == '') then
    return fail('EVIDENCE', 'express consent recorded by others needs source, statement version and evidence') -- LAW-6
  end
  return nil
end

local function count(counters_key, record, by)
  redis.call('HINCRBY', counters_key, string.format('%.0f:%d:%d', record.scope, record.kind, record.state), by)
end

-- keys: bucket, ledger, counters, store facts. args: store id, event id (8), field (8), bucket number (2), record head (19, its
-- rank is ours to set), sender scope and salt of the seal (20 or empty), SHA-256 of the document (32 or empty), sealed document.
local function write(keys, args, rank, act)
  local bucket_key, ledger_key, counters_key, meta_key = keys[1], keys[2], keys[3], keys[4]
  local event_id, field, bucket, seal, sha, document = args[2], args[3], args[4], args[6], args[7], args[8]
  if #event_id ~= 8 or #field ~= 8 or #bucket ~= 2 or #args[5] ~= 19 or (#seal ~= 0 and #seal ~= 20) or
    (#seal == 0) ~= (document == '') or #sha ~= (document == '' and 0 or 32) then
    return fail('ARGUMENT', 'an argument has the wrong length')
  end
  if redis.call('HGET', meta_key, 'store') ~= args[1] then return fail('FOREIGN', 'another store, or none') end

  local new = unpack_record(args[5] .. string.rep('\0', 9), 1)
  new.rank = RANK[rank]
  new.flags = document ~= '' and 1 or 0
  local refusal = refusal_of(act, rank, new, document)
  if refusal then return refusal end

  local value = redis.call('HGET', bucket_key, field) or ''
  if #value % RECORD ~= 0 then return fail('MALFORMED', 'records of another length stand there') end
  local key = struct.pack('>I4B', new.scope, VERSION_NIBBLE + new.kind)
  local at, found = locate(value, key)
  local old = found and unpack_record(value, at) or nil
  if old then
    local result = repeated(ledger_key, old.ledger_ms, old.ledger_seq, event_id)
    if result then return result end
  end
  local now = server_ms()
  new.event_ms = date_of(act, new.event_ms, now, counters_key)
  if not new.event_ms then return fail('FUTURE', 'the date lies ahead of the clock of Redis') end

  if seal ~= '' then
    local record = string.sub(seal, 1, 4) .. struct.pack('BBB', VERSION_NIBBLE + KIND.seal, 16 + SYSTEM_RANK, 0) ..
      string.sub(seal, 5, 20) .. string.rep('\0', 5)
    local seal_at, seal_found = locate(value, string.sub(record, 1, 5))
    if seal_found and string.sub(value, seal_at, seal_at + RECORD - 1) ~= record then
      return fail('SEAL', 'the subject has another seal by now; read it and repeat')
    end
    value = put(value, seal_at, seal_found, record)
    at, found = locate(value, key)
  end
  if not found and #value >= RECORDS_MAX * RECORD then return fail('FULL', 'the subject has too many records') end

  local applied = not old or supersedes(new, old)
  local event = struct.pack('BBB', EVENT_VERSION, ACT[act], applied and APPLIED or STALE) .. event_id .. bucket .. field ..
    pack_head(new) .. struct.pack('>I6I2', old and old.ledger_ms or 0, old and old.ledger_seq or 0) .. sha
  redis.call('HINCRBY', counters_key, 'events', 1) -- first what may be forbidden or damaged: later nothing may fail
  local id = redis.call('XADD', ledger_key, '*', 'e', event, 'x', document)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  if seq > 65535 then -- the clock stands far behind the ledger; a record has two bytes for this
    redis.call('XDEL', ledger_key, id)
    return fail('CLOCK', 'the clock of Redis stands far behind its ledger')
  end

  local kept = applied and new or old -- a stale event changes nothing but the end of the chain
  value = put(value, at, found, pack_head(kept) .. struct.pack('>I6I2B', ms, seq, old and old.month or 0))
  redis.call('HSET', bucket_key, field, value)
  if applied then
    if old then count(counters_key, old, -1) end
    count(counters_key, new, 1)
    if act == 'grant' and new.event_ms > tonumber(redis.call('HGET', counters_key, 'newest_grant') or '0') then
      redis.call('HSET', counters_key, 'newest_grant', string.format('%.0f', new.event_ms))
    end
  end
  return { applied and 'applied' or 'stale', id, string.format('%.0f', new.event_ms) }
end

local function register(rank, act)
  redis.register_function {
    function_name = rank .. '_' .. act,
    callback = function(keys, args) return write(keys, args, rank, act) end,
    flags = act == 'withdraw' and { 'allow-oom' } or {}, -- a full store must still take withdrawals
  }
end
-- Spelt out: while a library loads, Redis offers no iterators. A subject's grant is a confirmation, not a plain write. LAW-10
register('subject', 'withdraw')
register('officer', 'grant')
register('officer', 'withdraw')
register('admin', 'grant')
register('admin', 'withdraw')
register('sender', 'grant')
register('sender', 'withdraw')

-- The registry. keys: counter, senders, purposes, statements, texts (as each function needs them). Ids come from one counter
-- and are never reused.
local function bump(counter_key)
  return redis.call('HINCRBY', counter_key, 'version', 1)
end

-- keys: counter, senders. args: sender, title.
redis.register_function('admin_sender_add', function(keys, args)
  local present = redis.call('HGET', keys[2], args[1])
  if present then return { 'present', present, redis.call('HGET', keys[1], 'version') } end
  local row = cjson.encode({ id = redis.call('HINCRBY', keys[1], 'scope', 1), title = args[2] })
  redis.call('HSET', keys[2], args[1], row)
  return { 'added', row, tostring(bump(keys[1])) }
end)

-- keys: counter, senders, purposes. args: sender, purpose path, path of its parent or '', title.
redis.register_function('admin_purpose_add', function(keys, args)
  local present = redis.call('HGET', keys[3], args[2])
  if present then return { 'present', present, redis.call('HGET', keys[1], 'version') } end
  local parent = args[3] == '' and redis.call('HGET', keys[2], args[1]) or redis.call('HGET', keys[3], args[3])
  if not parent then return fail('PARENT', 'the sender or the parent purpose is not registered') end
  local row = cjson.encode({
    id = redis.call('HINCRBY', keys[1], 'scope', 1), parent = cjson.decode(parent).id, title = args[4], retired = false,
  })
  redis.call('HSET', keys[3], args[2], row)
  return { 'added', row, tostring(bump(keys[1])) }
end)

-- keys: counter, purposes. args: purpose path.
redis.register_function('admin_purpose_retire', function(keys, args)
  local row = redis.call('HGET', keys[2], args[1])
  if not row then return fail('PURPOSE', 'the purpose is not registered') end
  local purpose = cjson.decode(row)
  if purpose.retired then return { 'present', row, redis.call('HGET', keys[1], 'version') } end
  purpose.retired = true
  row = cjson.encode(purpose)
  redis.call('HSET', keys[2], args[1], row)
  return { 'retired', row, tostring(bump(keys[1])) }
end)

-- keys: counter, purposes, statements, texts. args: purpose path, version or '' for the next, language, material 0/1,
-- effective ms or '' (the present), SHA-256 in hex, text. A version is published once; another language is a rendition of it.
redis.register_function('admin_statement_publish', function(keys, args)
  local purpose_row = redis.call('HGET', keys[2], args[1])
  if not purpose_row then return fail('PURPOSE', 'the purpose is not registered') end
  local purpose = cjson.decode(purpose_row)
  local latest = purpose.statement or 0
  local version = args[2] == '' and latest + 1 or tonumber(args[2])
  if version > 65535 then return fail('VERSION', 'a purpose has at most 65535 statement versions') end
  if version > latest + 1 then return fail('VERSION', 'the next version is ' .. (latest + 1)) end
  if args[2] == '' and latest > 0 then -- the same text once more is the same version: commands may be repeated
    local row = redis.call('HGET', keys[3], string.format('%d:%d', purpose.id, latest))
    local statement = row and cjson.decode(row)
    if statement and statement.languages[args[3]] == args[6] and statement.material == (args[4] == '1') and
      (args[5] == '' or statement.effective == tonumber(args[5])) then
      return { 'present', row, redis.call('HGET', keys[1], 'version'), tostring(latest) }
    end
  end
  local name = string.format('%d:%d', purpose.id, version)
  local row = redis.call('HGET', keys[3], name)
  local statement
  if row then
    statement = cjson.decode(row)
    local known = statement.languages[args[3]]
    if known == args[6] then return { 'present', row, redis.call('HGET', keys[1], 'version'), tostring(version) } end
    if known then return fail('VERSION', 'that version is published with another text; a change is a new version') end
    if args[4] == '1' or args[5] ~= '' then return fail('VERSION', 'a rendition cannot change what its version says') end
  else
    local now = server_ms()
    statement = {
      material = args[4] == '1', effective = args[5] == '' and now or tonumber(args[5]), published = now, languages = {},
    }
  end
  statement.languages[args[3]] = args[6]
  row = cjson.encode(statement)
  redis.call('HSET', keys[3], name, row)
  redis.call('HSET', keys[4], name .. ':' .. args[3], args[7])
  if version > latest then
    purpose.statement = version
    redis.call('HSET', keys[2], args[1], cjson.encode(purpose))
  end
  return { 'published', row, tostring(bump(keys[1])), tostring(version) }
end)

-- keys: store facts of one partition. args: registry version. Filters look here, so it only ever rises.
redis.register_function('admin_registry_announce', function(keys, args)
  local seen = tonumber(redis.call('HGET', keys[1], 'registry') or '0')
  if tonumber(args[1]) > seen then redis.call('HSET', keys[1], 'registry', args[1]) end
  return 'OK'
end)
