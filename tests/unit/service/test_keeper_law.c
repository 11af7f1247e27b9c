/*
 * LAW-12 under chance: a keeper among servers that restart, roll back, fail over and go on isolated, with a connection
 * that is cut, loses answers and delivers beats late, and with crashes of the keeper itself. After every step, whatever
 * has been told as in effect stands on every server that a filter would trust. And once all is well again, all is
 * written.
 */
#include "keeper_world.h"

#define SEEDS 30
#define STEPS 400
#define SNAPSHOTS 4

struct chance {
    struct world world;
    uint64_t seed;
    struct content snapshots[SNAPSHOTS];
    uint64_t numbers[ACTS]; /* of the acts taken */
    bool in_effect[ACTS];
    size_t act_count;
    size_t told; /* how many became in effect while they were not on the keeper's server */
};

static unsigned draw(struct chance *chance, unsigned below)
{
    chance->seed = chance->seed * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(chance->seed >> 33) % below;
}

static void check_law(struct chance *chance, unsigned seed, unsigned step)
{
    struct world *world = &chance->world;
    for (size_t act = 0; act < chance->act_count; act++) {
        if (!chance->in_effect[act] && cm_keeper_act_is_in_effect(world->keeper, chance->numbers[act])) {
            chance->in_effect[act] = true;
            chance->told += !world->nodes[world->target].content.has[act];
        }
        for (size_t i = 0; i < NODES && chance->in_effect[act]; i++) {
            const struct node *node = &world->nodes[i];
            if (!node->content.has[act] && world_is_trusted(world, node)) {
                fail_msg("seed %u, step %u: act %zu is in effect, and node %zu is trusted without it", seed, step, act,
                         i);
            }
        }
    }
}

static void take_act(struct chance *chance)
{
    struct cm_keeper_answer answer;
    struct cm_write write = world_stop_of(chance->act_count);
    if (chance->act_count < ACTS) {
        uint64_t number = world_take(&chance->world, &write, &answer);
        assert_true(number != 0); /* a stop is always taken */
        chance->numbers[chance->act_count++] = number;
    }
}

/* A node begins a new life, with what it has or with what some backup or lagging replica has. */
static void rebirth(struct chance *chance, struct node *node)
{
    if (draw(chance, 3) > 0) {
        node->content = chance->snapshots[draw(chance, SNAPSHOTS)];
    }
    world_new_incarnation(&chance->world, node);
}

static void step_once(struct chance *chance)
{
    static const enum fault faults[] = {FAULT_NONE,        FAULT_NONE,         FAULT_AWAY,
                                        FAULT_ANSWER_LOST, FAULT_REQUEST_LOST, FAULT_NO_PERMISSION};
    struct world *world = &chance->world;
    unsigned dice = draw(chance, 100);
    if (dice < 45) {
        world_pass(world, 10 + draw(chance, 600));
    } else if (dice < 60) {
        take_act(chance);
    } else if (dice < 70) {
        world->fault = faults[draw(chance, sizeof(faults) / sizeof(faults[0]))];
    } else if (dice < 76) {
        world->target = draw(chance, NODES); /* the keeper's address leads elsewhere */
    } else if (dice < 80) {
        rebirth(chance, &world->nodes[draw(chance, NODES)]);
    } else if (dice < 85) {
        world_restart(world);
    } else if (dice < 89) {
        world->beat_hangs = true;
    } else if (dice < 93) {
        world_deliver(world);
    } else if (dice < 97) {
        chance->snapshots[draw(chance, SNAPSHOTS)] = world->nodes[draw(chance, NODES)].content;
    } else {
        world->now_ms += draw(chance, 7000); /* everybody but the clocks stands still */
    }
}

static void run_seed(struct chance *chance, unsigned seed)
{
    struct world *world = &chance->world;
    memset(chance, 0, sizeof(*chance));
    chance->seed = seed * 7919 + 1;
    world_start(world);
    for (unsigned step = 0; step < STEPS; step++) {
        step_once(chance);
        check_law(chance, seed, step);
    }
    world->fault = FAULT_NONE;
    world->beat_hangs = false;
    /* A backup of another journal's day would be an alarm for ever: this one knows no numbers but its own. */
    world_pass(world, 15000);
    check_law(chance, seed, STEPS);
    assert_string_equal(world_word(world), "beating");
    for (size_t act = 0; act < chance->act_count; act++) {
        assert_true(world->nodes[world->target].content.has[act]);
        assert_true(chance->in_effect[act]);
    }
}

static void what_is_in_effect_stands_wherever_it_counts(void **state)
{
    size_t told = 0;
    struct chance *chance = calloc(1, sizeof(*chance));
    (void)state;
    assert_non_null(chance);
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        run_seed(chance, seed);
        told += chance->told;
        world_stop(&chance->world);
    }
    assert_true(told > SEEDS); /* the journal-only promise was put to the test */
    free(chance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_in_effect_stands_wherever_it_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
