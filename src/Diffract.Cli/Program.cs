using System.CommandLine;

RootCommand root = new("Finds what fine-tuning changed inside a language model.");
return root.Parse(args).Invoke();
