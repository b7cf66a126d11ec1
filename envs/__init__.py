"""The environments that come with agentgym: a table of names and where they live."""

ENVS: dict[str, str] = {
    "agentgym/KeyDoor-v0": "agentgym.envs.keydoor:KeyDoorConfig",
    "agentgym/Calculator-v0": "agentgym.envs.calculator:CalculatorConfig",
    "agentgym/Code-v0": "agentgym.envs.code:CodeConfig",
    "agentgym/Gymnasium-v0": "agentgym.envs.gymnasium:GymnasiumConfig",
    "agentgym/Search-v0": "agentgym.envs.search:SearchConfig",
    "agentgym/TextArena-v0": "agentgym.envs.textarena:TextArenaConfig",
    "agentgym/BFCL-v0": "agentgym.envs.bfcl:BFCLConfig",
    "agentgym/ReasoningGym-v0": "agentgym.envs.reasoning_gym:ReasoningGymConfig",
    "agentgym/TextWorld-v0": "agentgym.envs.textworld:TextWorldConfig",
}
