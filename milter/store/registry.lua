-- LAW-16: what concerns no subject but changes what is permitted. Notes are chained like the events of a record. Its ledger id, or nil
-- and an error. ledger and counters are those of the registry's partition.
local function note(ledger_key, counters_key, event_id, document, sha)
  local last = redis.call('HGET', counters_key, 'note') or '0-0'
  local ms, seq = string.match(last, '^(%d+)-(%d+)$')
  local result = repeated(ledger_key, '', tonumber(ms), tonumber(seq), event_id)
  if result then return result[2] end
  if #event_id ~= 8 or #sha ~= 32 then return nil, fail('ARGUMENT', 'an argument has the wrong length') end
  local event = struct.pack('BBB', EVENT_VERSION, NOTE_CODE, APPLIED) .. event_id .. string.rep('\0', 29) ..
    struct.pack('>I6I2', tonumber(ms), tonumber(seq)) .. sha
  local new_ms, new_seq = append(ledger_key, counters_key, event, document)
  if not new_ms then return nil, new_seq end
  redis.call('HSET', counters_key, 'note', id_text(new_ms, new_seq))
  return id_text(new_ms, new_seq)
end

-- keys: ledger, counters, store facts. args: store id, event id (8), document, SHA-256 of it (32).
local function write_note(keys, args)
  if redis.call('HGET', keys[3], 'store') ~= args[1] then return fail('FOREIGN', 'another store, or none') end
  local id, failure = note(keys[1], keys[2], args[2], args[3], args[4])
  return id and { 'applied', id, (string.match(id, '^%d+')) } or failure
end
redis.register_function { function_name = 'system_note', callback = write_note, flags = { 'allow-oom' } }
redis.register_function { function_name = 'admin_note', callback = write_note, flags = { 'allow-oom' } }

-- The registry, which consent.lua's part of this library knows nothing of. Ids come from one counter and are never reused.
-- keys: counter, ledger and counters of its partition, then senders, purposes, statements, texts as each function needs them. args:
-- event id, document and SHA-256 of the note that a change leaves (LAW-16), then the function's own.
local function present(keys, row, extra)
  return { 'present', row, redis.call('HGET', keys[1], 'version'), extra }
end

-- The note comes first, for it may fail; `make` then writes, and answers the row. LAW-16
local function change(keys, args, word, make, extra)
  local id, failure = note(keys[2], keys[3], args[1], args[2], args[3])
  if not id then return failure end
  local row = make()
  return { word, row, tostring(redis.call('HINCRBY', keys[1], 'version', 1)), extra }
end

local function put_row(key, name, row)
  local text = cjson.encode(row)
  redis.call('HSET', key, name, text)
  return text
end

-- keys 4: senders. args 4: sender, title.
redis.register_function('admin_sender_add', function(keys, args)
  local row = redis.call('HGET', keys[4], args[4])
  if row then return present(keys, row) end
  return change(keys, args, 'added', function()
    return put_row(keys[4], args[4], { id = redis.call('HINCRBY', keys[1], 'scope', 1), title = args[5] })
  end)
end)

-- keys 4: senders, purposes. args 4: sender, purpose path, path of its parent or '', title, months of dormancy and what follows
-- ('warn', 'refuse' or '' for none).
redis.register_function('admin_purpose_add', function(keys, args)
  local row = redis.call('HGET', keys[5], args[5])
  if row then return present(keys, row) end
  local parent = args[6] == '' and redis.call('HGET', keys[4], args[4]) or redis.call('HGET', keys[5], args[6])
  if not parent then return fail('PARENT', 'the sender or the parent purpose is not registered') end
  return change(keys, args, 'added', function()
    return put_row(keys[5], args[5], {
      id = redis.call('HINCRBY', keys[1], 'scope', 1), parent = cjson.decode(parent).id, title = args[7], retired = false,
      dormancy = args[9] ~= '' and { months = tonumber(args[8]), act = args[9] } or nil,
    })
  end)
end)

-- keys 4: purposes. args 4: purpose path.
redis.register_function('admin_purpose_retire', function(keys, args)
  local row = redis.call('HGET', keys[4], args[4])
  if not row then return fail('PURPOSE', 'the purpose is not registered') end
  local purpose = cjson.decode(row)
  if purpose.retired then return present(keys, row) end
  purpose.retired = true
  return change(keys, args, 'retired', function() return put_row(keys[4], args[4], purpose) end)
end)

-- keys 4: senders or purposes. args 4: name in it, '1' to halt or '0' to end that. A halt passes to all that is below.
redis.register_function('admin_registry_halt', function(keys, args)
  local row = redis.call('HGET', keys[4], args[4])
  if not row then return fail('SCOPE', 'it is not registered') end
  local entry = cjson.decode(row)
  local halted = args[5] == '1'
  if (entry.halted or false) == halted then return present(keys, row) end
  entry.halted = halted
  return change(keys, args, 'set', function() return put_row(keys[4], args[4], entry) end)
end)

-- keys 4: purposes. args 4: purpose path, months, 'warn', 'refuse' or 'off'.
redis.register_function('admin_purpose_dormancy', function(keys, args)
  local row = redis.call('HGET', keys[4], args[4])
  if not row then return fail('PURPOSE', 'the purpose is not registered') end
  local purpose = cjson.decode(row)
  local before = purpose.dormancy
  local after = args[6] ~= 'off' and { months = tonumber(args[5]), act = args[6] } or nil
  if (before and before.months) == (after and after.months) and (before and before.act) == (after and after.act) then
    return present(keys, row)
  end
  purpose.dormancy = after
  return change(keys, args, 'set', function() return put_row(keys[4], args[4], purpose) end)
end)

-- The month of last use of a grant, which a dormant purpose asks for. No event: the uses themselves are kept elsewhere.
-- keys: bucket, store facts. args: store id, field (8), scope (4), month (1).
redis.register_function('system_use', function(keys, args)
  if redis.call('HGET', keys[2], 'store') ~= args[1] then return fail('FOREIGN', 'another store, or none') end
  local value = redis.call('HGET', keys[1], args[2]) or ''
  local at, found = locate(value, key_of((struct.unpack('>I4', args[3])), VERSION_NIBBLE + KIND.grant, 0))
  if not found or string.byte(value, at + RECORD - 1) >= string.byte(args[4]) then return 'OK' end
  redis.call('HSET', keys[1], args[2], string.sub(value, 1, at + RECORD - 2) .. args[4] .. string.sub(value, at + RECORD))
  return 'OK'
end)

-- keys 4: purposes, statements, texts. args 4: purpose path, version or '' for the next, language, material 0/1, effective ms or ''
-- (the present), SHA-256 in hex, text. A version is published once; another language is a rendition of it.
redis.register_function('admin_statement_publish', function(keys, args)
  local path, asked, language, material, effective, sha, text = unpack(args, 4)
  local purpose_row = redis.call('HGET', keys[4], path)
  if not purpose_row then return fail('PURPOSE', 'the purpose is not registered') end
  local purpose = cjson.decode(purpose_row)
  local latest = purpose.statement or 0
  local version = asked == '' and latest + 1 or tonumber(asked)
  if version > 65535 then return fail('VERSION', 'a purpose has at most 65535 statement versions') end
  if version > latest + 1 then return fail('VERSION', 'the next version is ' .. (latest + 1)) end
  if asked == '' and latest > 0 then -- the same text once more is the same version: commands may be repeated
    local row = redis.call('HGET', keys[5], string.format('%d:%d', purpose.id, latest))
    local statement = row and cjson.decode(row)
    if statement and statement.languages[language] == sha and statement.material == (material == '1') and
      (effective == '' or statement.effective == tonumber(effective)) then
      return present(keys, row, tostring(latest))
    end
  end
  local name = string.format('%d:%d', purpose.id, version)
  local row = redis.call('HGET', keys[5], name)
  local statement
  if row then
    statement = cjson.decode(row)
    local known = statement.languages[language]
    if known == sha then return present(keys, row, tostring(version)) end
    if known then return fail('VERSION', 'that version is published with another text; a change is a new version') end
    if material == '1' or effective ~= '' then return fail('VERSION', 'a rendition cannot change what its version says') end
  else
    local now = server_ms()
    statement = {
      material = material == '1', effective = effective == '' and now or tonumber(effective), published = now, languages = {},
    }
  end
  statement.languages[language] = sha
  return change(keys, args, 'published', function()
    redis.call('HSET', keys[6], name .. ':' .. language, text)
    if version > latest then
      purpose.statement = version
      put_row(keys[4], path, purpose)
    end
    return put_row(keys[5], name, statement)
  end, tostring(version))
end)

-- keys: store facts of one partition. args: registry version. Filters look here, so it only ever rises.
redis.register_function('admin_registry_announce', function(keys, args)
  local seen = tonumber(redis.call('HGET', keys[1], 'registry') or '0')
  if tonumber(args[1]) > seen then redis.call('HSET', keys[1], 'registry', args[1]) end
  return 'OK'
end)
