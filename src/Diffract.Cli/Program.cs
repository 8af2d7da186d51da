using System.CommandLine;
using Diffract.Cli;
using Diffract.Cli.Commands;

RootCommand root = new("Finds what fine-tuning changed inside a language model: diffract demo shows it on the pair that ships with the program.");

root.Subcommands.Add(TokenizeCommand.Create());
root.Subcommands.Add(TrainCommand.Create());
root.Subcommands.Add(EncodeCommand.Create());
root.Subcommands.Add(EvidenceCommand.Create());
root.Subcommands.Add(InterveneCommand.Create());
root.Subcommands.Add(ForwardCommand.Create());
root.Subcommands.Add(HarvestCommand.Create());
root.Subcommands.Add(ReportCommand.Create());
root.Subcommands.Add(LatentsCommand.Create());
root.Subcommands.Add(ScaleCommand.Create());

ParseResult parse = root.Parse(args);

// An unknown option would be taken for an argument's value.
string? unknown = parse.Tokens.FirstOrDefault(t => t.Type == System.CommandLine.Parsing.TokenType.Argument && t.Value.StartsWith("--", StringComparison.Ordinal))?.Value;
if (unknown is not null)
{
    Console.Error.WriteLine($"diffract: {unknown} is not an option; see `diffract {args[0]} --help`");
    return ExitCodes.BadArguments;
}

if (parse.Errors.Count > 0)
{
    Console.Error.WriteLine("diffract: " + parse.Errors[0].Message + "; see `diffract " + string.Join(' ', args.Take(1)) + " --help`");
    return ExitCodes.BadArguments;
}

return await parse.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromSeconds(30) });
