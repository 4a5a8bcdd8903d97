from ozora.serve.suspects import MAX_DEATHS, Deaths, read_deaths, write_deaths


def test_a_death_in_company_makes_suspects_and_nobody_guilty():
    deaths = Deaths()
    for _ in range(10):
        deaths = deaths.after((0, 3, 0), num_jobs=2)
    assert deaths.suspect and not deaths.is_guilty


def test_two_deaths_alone_at_one_point_are_no_chance():
    once = Deaths().after((0, 3, 0), num_jobs=1)
    assert once.suspect and not once.is_guilty
    assert once.after((0, 3, 0), num_jobs=1).is_guilty


def test_who_gets_further_each_time_is_never_guilty():
    deaths = Deaths()
    for step in range(50):
        deaths = deaths.after((0, step, 0), num_jobs=1)
        assert not deaths.is_guilty
    assert not deaths.after((1, 0, 0), num_jobs=1).is_guilty


def test_deaths_at_other_points_are_forgiven_a_few_times():
    deaths = Deaths().after((0, 99, 0), num_jobs=1)
    for step in range(MAX_DEATHS - 2):
        deaths = deaths.after((0, step, 0), num_jobs=1)
        assert not deaths.is_guilty
    assert deaths.after((0, 50, 0), num_jobs=1).is_guilty


def test_the_record_outlives_the_process(tmp_path):
    assert read_deaths(tmp_path) == Deaths()
    deaths = Deaths().after((0, 3, 0), 1).after((1, 0, 7), 1).after((0, 1, 0), 1)
    write_deaths(tmp_path, deaths)
    assert read_deaths(tmp_path) == deaths
