#!lua name=consent
-- The only writers of records and ledger (layout v1; milter/README.md draws it). One function a rank and act (LAW-6): which of
-- them a Redis user may call is the ACL's business (+fcall|NAME), and no argument names a rank. Each call is atomic, touches the
-- keys of one partition, and may be repeated: the event id tells a repetition (LAW-11).

local RECORD = 28
local EVENT_VERSION = 1
local VERSION_NIBBLE = 16 -- record version 1 in the high nibble
local CHAIN_MAX = 64      -- how far back a repetition is looked for
local RECORDS_MAX = 1024  -- of one subject; readers refuse more
local STOPS_ROOM = 128    -- of these for stops alone: grants never take the place that a withdrawal needs
local EVERYBODY_ROOM = 16 -- and of those for stops of scope 0, which are never too many
local NEVER = 4294967296  -- an expiry of 0 compares as later than any other
local DAY_S = 86400

local KIND = {
  grant = 1, implied = 2, soft_optin = 3, asserted = 4, request = 5, stop = 6, bounced = 7, restricted = 8, suspended = 9,
  erased = 10, seal = 11, forward = 12,
}
local RANK = { subject = 1, officer = 2, admin = 3, sender = 4, system = 5 }
local FLAG = { evidence = 1, by_guardian = 2, ended = 4 }
local STATES = { 1, 4, 1, 1, 1, 4, 2, 3, 2, 1 } -- how many states a kind has
local SOURCES = 13
local APPLIED, STALE = 1, 2
local IMPLIED_CONTRACT, IMPLIED_MEMBERSHIP = 2, 3

-- What each act writes, and whether it forbids. A stop must get in even when memory is short.
local ACTS = {
  grant = { code = 1, kinds = { true, true, true, true } },
  withdraw = { code = 2, kinds = { [6] = true }, forbids = true },
  request = { code = 3, kinds = { [5] = true } },
  confirm = { code = 4, kinds = { true } },
  restrict = { code = 5, kinds = { [8] = true }, forbids = true },
  suspend = { code = 6, kinds = { [9] = true }, forbids = true },
  ['end'] = { code = 7, kinds = { [8] = true, [9] = true } },
  bounce = { code = 8, kinds = { [7] = true }, forbids = true },
  erase = { code = 9, kinds = { [10] = true }, forbids = true },
}
local FORWARD_CODE, NOTE_CODE = 10, 11

local function fail(word, text)
  return redis.error_reply(word .. ' ' .. text)
end

local function server_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function is_flagged(flags, flag)
  return math.floor(flags / flag) % 2 == 1
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
  local b_ended, a_ended = is_flagged(b.flags, FLAG.ended), is_flagged(a.flags, FLAG.ended)
  if b_ended ~= a_ended then return a_ended end
  if b.state ~= a.state then return b.state > a.state end
  if b.rank ~= a.rank then return b.rank > a.rank end
  local b_guardian, a_guardian = is_flagged(b.flags, FLAG.by_guardian), is_flagged(a.flags, FLAG.by_guardian)
  if b_guardian ~= a_guardian then return a_guardian end
  if b.statement ~= a.statement then return b.statement < a.statement end
  if b.expiry ~= a.expiry then
    return (b.expiry == 0 and NEVER or b.expiry) < (a.expiry == 0 and NEVER or a.expiry)
  end
  if b.source ~= a.source then return b.source > a.source end
  return b.flags > a.flags
end

-- What tells records of one subject apart, as a number that sorts them: scope and kind, and for restrictions and suspensions
-- also state and rank (LAW-5). Numbers, because Lua compares strings by the server's locale.
local function key_of(scope, vk, sr)
  local kind = vk % 16
  return (scope * 256 + vk) * 256 + ((kind == KIND.restricted or kind == KIND.suspended) and sr or 0)
end

-- Where the record with this key stands in `value`, or where it belongs.
local function locate(value, key)
  for at = 1, #value, RECORD do
    local here = key_of(struct.unpack('>I4BB', value, at))
    if here == key then return at, true end
    if here > key then return at, false end
  end
  return #value + 1, false
end

local function put(value, at, found, record)
  return string.sub(value, 1, at - 1) .. record .. string.sub(value, found and at + RECORD or at)
end

local function entry_at(ledger_key, id)
  local entry = redis.call('XRANGE', ledger_key, id, id)[1]
  return entry and entry[2][2] or nil
end

local function id_text(ms, seq)
  return string.format('%.0f-%.0f', ms, seq)
end

-- The result of an event that was written before, or nil: at the place that the writer remembers, or in the chain that ends at
-- this ledger id. The second result tells that the chain is cut: older events lie in the archive. LAW-11
local function repeated(ledger_key, replay, ms, seq, event_id)
  local packed = #replay > 1 and entry_at(ledger_key, replay) or nil
  if packed and string.sub(packed, 4, 11) == event_id then
    return { 'duplicate', replay, string.format('%.0f', (struct.unpack('>I6', packed, 31))) }, false
  end
  for _ = 1, CHAIN_MAX do
    if ms == 0 then return nil, false end
    packed = entry_at(ledger_key, id_text(ms, seq))
    if not packed then return nil, true end
    if string.sub(packed, 4, 11) == event_id then
      return { 'duplicate', id_text(ms, seq), string.format('%.0f', (struct.unpack('>I6', packed, 31))) }, false
    end
    ms, seq = struct.unpack('>I6I2', packed, 41)
  end
  return nil, true
end

-- LAW-3: a live stop is dated after every grant and request of the partition, so that a clock set back cannot make it older than
-- what it covers, and after the end of the restriction that it sets anew; one dated ahead takes effect now. Nothing that permits
-- is dated ahead of the server's clock, but for an end, which follows what it ends. A replay keeps its date.
local function date_of(act, given_ms, now, old, counters_key, is_replay)
  local is_end = act == 'end'
  if given_ms > 0 and is_replay and (is_end or ACTS[act].forbids) then return given_ms end
  if not ACTS[act].forbids then
    if given_ms > now then return nil end
    if given_ms > 0 then return given_ms end
    return (is_end and old) and math.max(now, old.event_ms + 1) or now
  end
  local newest = tonumber(redis.call('HGET', counters_key, 'newest_grant') or '0')
  local live = math.max(now, newest + 1)
  if old and is_flagged(old.flags, FLAG.ended) then live = math.max(live, old.event_ms + 1) end
  return given_ms > 0 and math.min(given_ms, live) or live
end

-- LAW-7: requests lapse after 30 days, bounces after 180; all other dates come from the caller.
local function expiry_of(new)
  local days = new.kind == KIND.request and 30 or new.kind == KIND.bounced and 180 or nil
  return days and math.min(math.floor(new.event_ms / 1000) + days * DAY_S, NEVER - 1) or new.expiry
end

local function may_last(new)
  return new.kind ~= KIND.implied or new.state == IMPLIED_CONTRACT or new.state == IMPLIED_MEMBERSHIP
end

local function refusal_of(act, rank, new, document)
  if not ACTS[act].kinds[new.kind] then return fail('KIND', 'this function does not write records of that kind') end
  if new.state < 1 or new.state > STATES[new.kind] or new.source > SOURCES then
    return fail('STATE', 'no such state or source') -- readers would take the whole subject for damaged
  end
  if new.kind <= KIND.request and new.scope == 0 then return fail('SCOPE', 'a grant names one purpose') end
  if new.kind > KIND.request and new.expiry ~= 0 then return fail('EXPIRY', 'the caller cannot make a stop lapse') end
  if new.expiry == 0 and not may_last(new) then return fail('EXPIRY', 'implied consent lapses') end -- LAW-7
  if is_flagged(new.flags, FLAG.by_guardian) and
    (new.kind ~= KIND.grant or document == '' or new.rank == RANK.sender or new.rank == RANK.system) then
    return fail('GUARDIAN', 'a guardian gives an express grant with evidence, and no sender records it') -- LAW-15
  end
  if new.kind == KIND.grant and rank ~= 'subject' and (new.source == 0 or new.statement == 0 or document == '') then
    return fail('EVIDENCE', 'express consent recorded by others needs source, statement version and evidence') -- LAW-6
  end
  return nil
end

local function count(counters_key, record, by)
  local ended = is_flagged(record.flags, FLAG.ended) and ':ended' or ''
  redis.call('HINCRBY', counters_key, string.format('%.0f:%d:%d%s', record.scope, record.kind, record.state, ended), by)
end

-- The value without the records for which `goes` answers true, and those records.
local function without(value, goes)
  local kept, gone = {}, {}
  for at = 1, #value, RECORD do
    local r = unpack_record(value, at)
    if goes(r) then table.insert(gone, r) else table.insert(kept, string.sub(value, at, at + RECORD - 1)) end
  end
  return table.concat(kept), gone
end

local function is_in(ids, scope)
  for at = 1, #ids, 4 do
    if struct.unpack('>I4', ids, at) == scope then return true end
  end
  return false
end

-- Erasure takes all that is not newer than itself of the scope and below it, but not what others hold against the subject, and
-- the seals with it, so that no copy of the evidence can be opened any more. A live one is dated after all that it takes.
local function erase(value, new, old, below, is_live)
  local function is_covered(r)
    return r.kind ~= KIND.restricted and r.kind ~= KIND.suspended and (new.scope == 0 or r.scope == new.scope or is_in(below, r.scope))
  end
  if is_live then
    if old then new.event_ms = math.max(new.event_ms, old.event_ms + 1) end
    local _, covered = without(value, is_covered)
    for _, r in ipairs(covered) do
      if r.kind ~= KIND.seal then new.event_ms = math.max(new.event_ms, r.event_ms) end
    end
  end
  return without(value, function(r) return is_covered(r) and (r.kind == KIND.seal or r.event_ms <= new.event_ms) end)
end

-- The open request that a confirmation names by its ledger id, LAW-10, or an error. Its statement is what was agreed to.
local function confirm(value, new, request_id)
  local at, found = locate(value, key_of(new.scope, VERSION_NIBBLE + KIND.request, 0))
  local request = found and unpack_record(value, at) or nil
  if not request or struct.pack('>I6I2', request.ledger_ms, request.ledger_seq) ~= request_id then
    return nil, fail('REQUEST', 'no such request is open')
  end
  if new.event_ms > (request.expiry + 1) * 1000 - 1 then return nil, fail('LAPSED', 'the request has lapsed') end
  new.statement = request.statement
  return request
end

-- Whether a replayed event whose chain is cut lies in the archive: it is no newer than what stands.
local function is_archived(act, new, old)
  if act == 'confirm' then new.statement = old.statement end -- the request that stated it is gone by then
  return not supersedes(new, old)
end

-- Whether an erasure that covers its scope is as new as this grant or request: what is older may not come back.
local function is_erased(value, new, above)
  if new.kind > KIND.request then return false end
  for at = 1, #value, RECORD do
    local r = unpack_record(value, at)
    if r.kind == KIND.erased and r.event_ms >= new.event_ms and
      (r.scope == 0 or r.scope == new.scope or is_in(above, r.scope)) then
      return true
    end
  end
  return false
end

local function retract(ledger_key, counters_key, ms, seq)
  redis.call('HINCRBY', counters_key, 'events', -redis.call('XDEL', ledger_key, id_text(ms, seq)))
end

-- Appends an event, which so many others will follow; its ledger id as ms and sequence, or nil and an error. First comes what may be
-- forbidden or damaged: after the event stands nothing may fail.
local function append(ledger_key, counters_key, event, document, following)
  redis.call('HINCRBY', counters_key, 'events', 1)
  local id = redis.call('XADD', ledger_key, '*', 'e', event, 'x', document)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  if seq + (following or 0) > 65535 then -- the clock stands far behind the ledger; a record has two bytes for this
    retract(ledger_key, counters_key, ms, seq)
    return nil, fail('CLOCK', 'the clock of Redis stands far behind its ledger')
  end
  return ms, seq
end

-- A number that only rises.
local function raise(counters_key, field, number)
  if number > tonumber(redis.call('HGET', counters_key, field) or '0') then
    redis.call('HSET', counters_key, field, string.format('%.0f', number))
  end
end

local function raise_mark(counters_key, mark)
  local name, number = string.match(mark, '^([a-z0-9._-]+):(%d+)$')
  if name then raise(counters_key, 'mark:' .. name, tonumber(number)) end
end

-- A keeper writes in the order of its journal, and its mark is part of the data: a replay up to the mark is here already, whatever
-- became of record and ledger since.
local function is_marked(counters_key, mark)
  local name, number = string.match(mark, '^([a-z0-9._-]+):(%d+)$')
  return name and tonumber(number) <= tonumber(redis.call('HGET', counters_key, 'mark:' .. name) or '0')
end

local function read_arguments(args)
  local a = {
    store = args[1], event_id = args[2], field = args[3], bucket = args[4], head = args[5], seal = args[6], sha = args[7],
    document = args[8], replay = args[9], mark = args[10], related = args[11],
  }
  if #args ~= 11 or #a.event_id ~= 8 or #a.field ~= 8 or #a.bucket ~= 2 or #a.head ~= 19 or (#a.seal ~= 0 and #a.seal ~= 20 and #a.seal ~= 21) or
    (#a.seal == 0) ~= (a.document == '') or #a.sha ~= (a.document == '' and 0 or 32) or #a.related % 4 ~= 0 then
    return nil, fail('ARGUMENT', 'an argument is missing or has the wrong length')
  end
  return a
end

-- The value with the seal of this document's sender in it, or an error if another stands there: the document was sealed with a
-- salt that nobody would find again.
-- A document older than an erasure that covers it gets no seal, nor one under a seal that stood once and was erased since: neither
-- may bring back what opens the copies of what was erased.
local function with_seal(value, seal, event_ms)
  if seal == '' then return value end
  for at = 1, #value, RECORD do
    local r = unpack_record(value, at)
    if r.kind == KIND.erased and r.event_ms > event_ms and (r.scope == 0 or r.scope == struct.unpack('>I4', seal)) then return value end
  end
  local record = string.sub(seal, 1, 4) ..
    struct.pack('BBB', VERSION_NIBBLE + KIND.seal, 16 + RANK.system, 0) .. string.sub(seal, 5, 20) .. string.rep('\0', 5)
  local at, found = locate(value, key_of(struct.unpack('>I4BB', record)))
  if (found and string.sub(value, at, at + RECORD - 1) ~= record) or (not found and #seal == 21) then
    return nil, fail('SEAL', 'the subject has another seal by now; read it and repeat')
  end
  return put(value, at, found, record)
end

-- Whether the records outgrow the room for this kind.
local function is_full(new, len, len_before)
  local most = new.kind <= KIND.request and RECORDS_MAX - STOPS_ROOM or new.scope ~= 0 and RECORDS_MAX - EVERYBODY_ROOM or RECORDS_MAX
  return len > len_before and len > most * RECORD
end

-- Where the new record belongs, what stands there, and what the rules say before anything is written.
local function weigh(keys, a, rank, act)
  local new = unpack_record(a.head .. string.rep('\0', 9), 1)
  new.rank = RANK[rank]
  new.flags = (a.document ~= '' and FLAG.evidence or 0) + (is_flagged(new.flags, FLAG.by_guardian) and FLAG.by_guardian or 0) +
    (act == 'end' and FLAG.ended or 0)
  local refusal = refusal_of(act, rank, new, a.document)
  if refusal then return nil, nil, nil, refusal end
  local value = redis.call('HGET', keys[1], a.field) or ''
  if #value % RECORD ~= 0 then return nil, nil, nil, fail('MALFORMED', 'records of another length stand there') end
  if #value > 0 and unpack_record(value, 1).kind == KIND.forward then
    return nil, nil, nil, fail('FORWARDED', 'the subject is kept under a newer pepper')
  end
  local at, found = locate(value, key_of(new.scope, VERSION_NIBBLE + new.kind, new.state * 16 + new.rank))
  return new, value, found and unpack_record(value, at) or nil
end

-- What the act does to the other records of the subject: the value without those that go, they, and whether the new record takes
-- its place; or an error.
local function prepare(value, new, old, act, a, is_live)
  if act == 'erase' then
    if old and not is_live and not supersedes(new, old) then return value, {}, false end
    local left, gone = erase(value, new, old, a.related, is_live)
    return left, gone, true
  end
  local applied = not old or supersedes(new, old)
  if act == 'confirm' then
    local request, refusal = confirm(value, new, a.related)
    if refusal then return nil, refusal end
    if not applied then return nil, fail('REQUEST', 'a newer grant stands') end
    local left, gone = without(value, function(r) return r.kind == KIND.request and r.scope == new.scope end)
    return left, gone, true
  end
  return value, {}, applied
end

-- keys: bucket, ledger, counters, store facts. args: store id, event id (8), field (8), bucket number (2), record head (19, its
-- rank is ours to set), sender scope and salt of the seal (20, one more byte if it was standing, or empty), SHA-256 of the document (32 or empty), sealed document,
-- replay ('' for a first try, '-' for one of unknown result, or the ledger id it had), mark of a keeper (NAME:NUMBER or empty),
-- related: for erase the scopes below, for grant and request those above (4 bytes each), for confirm the request's ledger id (8).
local function write(keys, args, rank, act)
  local bucket_key, ledger_key, counters_key, meta_key = keys[1], keys[2], keys[3], keys[4]
  local a, refusal = read_arguments(args)
  if refusal then return refusal end
  if redis.call('HGET', meta_key, 'store') ~= a.store then return fail('FOREIGN', 'another store, or none') end
  local new, value, old
  new, value, old, refusal = weigh(keys, a, rank, act)
  if refusal then
    -- Written before the records moved on: not to be repeated where they stand now.
    local before = refusal.err and string.sub(refusal.err, 1, 10) == 'FORWARDED ' and
      repeated(ledger_key, a.replay, 0, 0, a.event_id)
    if before then raise_mark(counters_key, a.mark) end
    return before or refusal
  end

  local is_replay = a.replay ~= ''
  local result, is_cut = repeated(ledger_key, a.replay, old and old.ledger_ms or 0, old and old.ledger_seq or 0, a.event_id)
  if not result and is_replay and is_marked(counters_key, a.mark) then
    result = { 'duplicate', #a.replay > 1 and a.replay or old and id_text(old.ledger_ms, old.ledger_seq) or '0-0',
      string.format('%.0f', new.event_ms) }
  end
  if not result and act == 'end' and not old and not is_replay then
    return fail('ABSENT', 'this rank has set no such restriction or suspension')
  end
  local given_ms = new.event_ms
  new.event_ms = date_of(act, given_ms, server_ms(), old, counters_key, is_replay)
  if not result and not new.event_ms then return fail('FUTURE', 'the date lies ahead of the clock of Redis') end
  if not result and is_replay and is_cut and is_archived(act, new, old) then
    result = { 'duplicate', id_text(old.ledger_ms, old.ledger_seq), string.format('%.0f', new.event_ms) }
  end
  if result then
    raise_mark(counters_key, a.mark)
    return result
  end
  new.expiry = expiry_of(new)

  local gone, applied, len_before = nil, nil, #value
  value, gone, applied = prepare(value, new, old, act, a, given_ms == 0)
  if not value then return gone end
  local barred = not old and act ~= 'confirm' and is_erased(value, new, a.related)
  applied = applied and not barred
  value, refusal = with_seal(value, barred and '' or a.seal, new.event_ms)
  if refusal then return refusal end
  local at, found = locate(value, key_of(new.scope, VERSION_NIBBLE + new.kind, new.state * 16 + new.rank))
  local len = #value + (found and 0 or RECORD)
  if not barred and is_full(new, len, len_before) then return fail('FULL', 'the subject has too many records') end

  local event = struct.pack('BBB', EVENT_VERSION, ACTS[act].code, applied and APPLIED or STALE) .. a.event_id .. a.bucket .. a.field ..
    pack_head(new) .. struct.pack('>I6I2', old and old.ledger_ms or 0, old and old.ledger_seq or 0) .. a.sha
  local ms, seq = append(ledger_key, counters_key, event, a.document)
  if not ms then return seq end

  if not barred then -- a stale event changes nothing but the end of the chain
    local kept = applied and new or old
    value = put(value, at, found, pack_head(kept) .. struct.pack('>I6I2B', ms, seq, old and old.month or 0))
  end
  if value ~= '' then redis.call('HSET', bucket_key, a.field, value) end
  for _, r in ipairs(gone) do
    if r.kind ~= KIND.seal then count(counters_key, r, -1) end
  end
  if applied then
    if old and act ~= 'erase' then count(counters_key, old, -1) end
    count(counters_key, new, 1)
    if new.kind <= KIND.request then raise(counters_key, 'newest_grant', new.event_ms) end
  end
  raise_mark(counters_key, a.mark)
  return { applied and 'applied' or 'stale', id_text(ms, seq), string.format('%.0f', new.event_ms) }
end

-- While a library loads, Redis offers no iterators. A subject's grant is a confirmation, not a plain write. LAW-6, LAW-10
local FUNCTIONS = {
  { 'subject', 'confirm', 'withdraw' },
  { 'officer', 'grant', 'withdraw', 'restrict', 'suspend', 'end', 'erase' },
  { 'admin', 'grant', 'withdraw', 'request', 'restrict', 'suspend', 'end', 'erase', 'bounce' },
  { 'sender', 'grant', 'withdraw', 'request' },
  { 'system', 'withdraw', 'bounce' },
}
for i = 1, #FUNCTIONS do
  local rank = FUNCTIONS[i][1]
  for j = 2, #FUNCTIONS[i] do
    local act = FUNCTIONS[i][j]
    redis.register_function {
      function_name = rank .. '_' .. act,
      callback = function(keys, args) return write(keys, args, rank, act) end,
      flags = ACTS[act].forbids and { 'allow-oom' } or {}, -- a full store must still take withdrawals
    }
  end
end
