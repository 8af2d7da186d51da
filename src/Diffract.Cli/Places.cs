using Diffract.Formats.Hub;
using Diffract.Runs;

namespace Diffract.Cli;

/// <summary>Turns what a user calls a model or a dictionary into its folder: a folder, or a hub's repository, which is fetched when its cache lacks it.</summary>
static class Places
{
    public static string Model(string text, IProgressSink progress, CancellationToken stop) => HubFolder.Resolve(text, HubContents.Checkpoint, Settings(), progress, stop);

    /// <summary>Tokenizer and chat template alone.</summary>
    public static string Tokenizer(string text, IProgressSink progress, CancellationToken stop) => HubFolder.Resolve(text, HubContents.Tokenizer, Settings(), progress, stop);

    public static string Dictionary(string text, IProgressSink progress, CancellationToken stop) => HubFolder.Resolve(text, HubContents.Dictionary, Settings(), progress, stop);

    static HubSettings Settings() => HubSettings.Read(Environment.GetEnvironmentVariable);
}
