using Diffract.Formats.Hub;
using Diffract.Runs;

namespace Diffract.Tests.Formats.Hub;

public sealed class HubSettingsTests
{
    static HubSettings Read(params (string Name, string Value)[] variables) => HubSettings.Read(name => variables.Where(v => v.Name == name).Select(v => v.Value).FirstOrDefault());

    [Fact]
    public void The_cache_is_where_the_hubs_own_tools_look()
    {
        Assert.EndsWith(Path.Combine(".cache", "huggingface", "hub"), Read().Cache, StringComparison.Ordinal);
        Assert.Equal("/x/huggingface/hub", Read(("XDG_CACHE_HOME", "/x")).Cache);
        Assert.Equal("/h/hub", Read(("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")).Cache);
        Assert.Equal("/c", Read(("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")).Cache);
    }

    [Fact]
    public void Offline_endpoint_and_token_are_read()
    {
        Assert.False(Read(("HF_HUB_OFFLINE", "0")).Offline);
        Assert.True(Read(("HF_HUB_OFFLINE", "1")).Offline);
        Assert.True(Read(("TRANSFORMERS_OFFLINE", "true")).Offline);
        Assert.Equal("https://mirror.example/hub/", Read(("HF_ENDPOINT", "https://mirror.example/hub")).Endpoint.ToString());
        Assert.Equal("t", Read(("HF_TOKEN", " t ")).Token);
        Assert.Equal(DiffractException.BadArguments, Assert.Throws<DiffractException>(() => Read(("HF_ENDPOINT", "mirror"))).ExitCode);
    }

    [Fact]
    public void A_token_file_is_read_where_logging_in_leaves_it()
    {
        using TemporaryFolder home = new();
        home.File("token", "hf_file\n");
        Assert.Equal("hf_file", Read(("HF_HOME", home.Path)).Token);
        Assert.Equal("hf_env", Read(("HF_HOME", home.Path), ("HF_TOKEN", "hf_env")).Token);
    }
}
