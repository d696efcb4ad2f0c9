from gpt2lab.core.errors import UserError, missing_extra


def test_an_error_names_the_cause_the_place_and_the_way_out():
    error = UserError("the file is empty", place="data.txt, line 3", way_out="use another")
    assert str(error).splitlines() == ["the file is empty", "  where: data.txt, line 3", "  way out: use another"]


def test_a_missing_extra_says_what_to_install():
    assert "pip install 'gpt2lab[qlora]'" in str(missing_extra("bitsandbytes", "qlora", "QLoRA"))
