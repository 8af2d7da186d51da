using Diffract.Formats.Hub;
using Diffract.Formats.Rows;
using Diffract.Runs;

namespace Diffract.Cli;

/// <summary>Turns what a user calls a model or a dictionary into its folder: a folder, or a hub's repository, which is fetched when its cache lacks it.</summary>
static class Places
{
    public static string Model(string text, IProgressSink progress, CancellationToken stop) => HubFolder.Resolve(text, HubContents.Checkpoint, Settings(), progress, stop);

    /// <summary>Tokenizer and chat template alone.</summary>
    public static string Tokenizer(string text, IProgressSink progress, CancellationToken stop) => HubFolder.Resolve(text, HubContents.Tokenizer, Settings(), progress, stop);

    public static string Dictionary(string text, IProgressSink progress, CancellationToken stop) => HubFolder.Resolve(text, HubContents.Dictionary, Settings(), progress, stop);

    /// <summary>The files that names of files, folders and patterns mean, in their order.</summary>
    public static IReadOnlyList<string> Data(IEnumerable<string>? texts) => [.. (texts ?? []).SelectMany(DataFiles.Find)];

    static HubSettings Settings() => HubSettings.Read(Environment.GetEnvironmentVariable);
}
