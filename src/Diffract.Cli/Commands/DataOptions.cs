using System.CommandLine;
using Diffract.Formats.Rows;
using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Cli.Commands;

/// <summary>The options of every verb that reads documents or chats from files of data.</summary>
sealed class DataOptions
{
    /// <summary>What can be read, for the descriptions of <c>--text</c> and <c>--chats</c>.</summary>
    public const string Formats = "JSON lines, CSV, TSV, plain text (each plain, .gz or .zst) or Parquet: files, folders, patterns (quoted), or names of data sets on the hub: org/name[@revision][:config[:split]] or hf://datasets/org/name/path";

    readonly Option<string?> _text = new("--text-column") { Description = "Column of a document's text. Default: text." };
    readonly Option<string?> _chats = new("--chats-column") { Description = "Column of a chat's turns. Default: the first of turns, messages, conversation, conversations that is there, else prompt and response." };

    readonly Option<string> _unit = new("--text-unit")
    {
        Description = "What of a plain text file is a document: line, paragraph (lines up to a blank one) or file.",
        DefaultValueFactory = _ => "line",
    };

    readonly Option<double>? _skipped;

    /// <summary>Adds the options to <paramref name="command"/>.</summary>
    /// <param name="command">The verb.</param>
    /// <param name="texts">Whether it reads documents.</param>
    /// <param name="skips">Whether it passes over rows that cannot be used.</param>
    public DataOptions(Command command, bool texts, bool skips)
    {
        _unit.AcceptOnlyFromAmong("line", "paragraph", "file");
        command.Options.Add(_chats);
        if (texts)
        {
            command.Options.Add(_text);
            command.Options.Add(_unit);
        }

        if (skips)
        {
            _skipped = new("--most-skipped") { Description = "Share of the documents, and of the chats, that may be passed over because they cannot be used; more is an error.", DefaultValueFactory = _ => 0.01 };
            command.Options.Add(_skipped);
        }
    }

    public TextColumns Of(ParseResult parse) => new()
    {
        Text = Known(parse, _text) ? parse.GetValue(_text) : null,
        Chats = parse.GetValue(_chats),
        Unit = Known(parse, _unit) ? Enum.Parse<TextUnit>(parse.GetValue(_unit)!, ignoreCase: true) : TextUnit.Line,
    };

    public double MostSkipped(ParseResult parse) => parse.GetValue(_skipped!);

    /// <summary>The one file that a loose verb reads.</summary>
    public static string One(string option, string text, IProgressSink progress, CancellationToken stop)
        => Places.Data([text], null, progress, stop) is [string file] ? file : throw DiffractException.Argument($"{option} {text} is several files; wanted one");

    static bool Known(ParseResult parse, Option option) => parse.CommandResult.Command.Options.Contains(option);
}
