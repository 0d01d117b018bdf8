from occlupose.metrics.mupots import GNTCN, MPI15_PROTOCOL, OFFICIAL, PROTOCOLS, SMAP15

ALL = list(PROTOCOLS.values())


def test_python_ports_hang_joints_on_the_parents_of_others():
    assert GNTCN.bones[:4] == (("spine", "neck"), ("neck", "spine"), ("head_top", "neck"), ("head", "right_shoulder"))
    assert dict(GNTCN.bones)["left_ankle"] == "pelvis" and dict(OFFICIAL.bones)["left_ankle"] == "left_knee"
    assert OFFICIAL.bones[:4] == (("spine", "pelvis"), ("neck", "spine"), ("head_top", "neck"), ("head", "neck"))
    assert (
        SMAP15.bones[:3] == (("neck", "pelvis"), ("head_top", "neck"), ("right_shoulder", "neck"))
        and len(SMAP15.bones) == 14
    )
    assert (OFFICIAL.universal, SMAP15.universal, GNTCN.universal, MPI15_PROTOCOL.universal) == (
        True,
        True,
        False,
        False,
    )
    assert [protocol.rescales for protocol in ALL] == [True, True, True, False]
