from attack.run import main

main()
